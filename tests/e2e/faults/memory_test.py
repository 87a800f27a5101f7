# SPDX-License-Identifier: Apache-2.0
"""Server and client transfer a tensor of 1 GiB without holding it: their private memory grows little."""

import os
import pathlib
import re
import subprocess
import sys
import threading
import unittest

import numpy

import harness
from tensor_files import data_offset, make_tensor, write_big_file, write_safetensors

MIB = 1 << 20
TENSOR_BYTES = 1024 * MIB
ALLOWED_GROWTH_BYTES = 16 * MIB
COMPARED_BYTES = 16 * MIB
# The fake driver has device memory in a shared mapping and pinned memory in a private one. Only the latter counts here.
FAKE_CUDA_DIR = os.environ.get("TENSORFERRY_FAKE_CUDA_DIR")


def private_bytes(pid: int) -> int:
    """Returns RssAnon of a process; 0 if it has ended."""
    try:
        found = re.search(r"^RssAnon:\s+(\d+) kB$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) * 1024 if found else 0


class PeakOfMemory:
    """Samples the peak of the private memory of a process inside the `with` block."""

    def __init__(self, pid: int):
        self._pid = pid
        self._ended = threading.Event()
        self.peak_bytes = 0
        self.samples = 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "PeakOfMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.002):
            self.peak_bytes = max(self.peak_bytes, private_bytes(self._pid))
            self.samples += 1


@unittest.skipIf(harness.SANITIZED, "sanitizers keep memory of their own")
class MemoryTest(harness.EndToEndTest):
    """A model with a tensor of 1 GiB, whose MiB all differ, and a model with a tensor of 4 KiB."""

    def setUp(self) -> None:
        super().setUp()
        root = self.directory / "root"
        generator = numpy.random.default_rng(harness.SEED)
        self.path = root / "big.safetensors"
        write_big_file(self.path, "big", TENSOR_BYTES, generator)
        write_safetensors(root / "small.safetensors", [make_tensor("small", "U8", (4096,), generator)])
        self.server = self.serve(root)

    def peaks_of(self, *args: object, env: dict[str, str] | None = None) -> tuple[int, int]:
        """Returns the peaks of private memory of server and client while the client runs with `args`."""
        command = harness.cli_command(*args, "--server", self.server.address)
        with PeakOfMemory(self.server.pid) as of_server:
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  env=os.environ | (env or {})) as client:
                with PeakOfMemory(client.pid) as of_client:
                    stderr = client.communicate(timeout=harness.PATIENCE_SECONDS)[1]
        self.assertEqual((client.returncode, stderr), (0, b""))
        self.assertGreater(of_client.samples, 0)
        return of_server.peak_bytes, of_client.peak_bytes

    def check_growth(self, small: tuple[object, ...], big: tuple[object, ...], destination_bytes: int) -> None:
        """Runs the client for the small tensor, then for the big one, and checks the growth."""
        _, client_base = self.peaks_of(*small)
        server_base = private_bytes(self.server.pid)
        server_peak, client_peak = self.peaks_of(*big)
        server_growth = server_peak - server_base
        client_growth = client_peak - client_base - destination_bytes
        print(f"{' '.join(map(str, big[:1]))}: server {server_base / MIB:.1f} MiB, grew by {server_growth / MIB:.1f}; "
              f"client {client_base / MIB:.1f} MiB, grew by {client_growth / MIB:.1f} over its destination",
              file=sys.stderr)
        self.assertLess(server_growth, ALLOWED_GROWTH_BYTES)
        self.assertLess(client_growth, ALLOWED_GROWTH_BYTES)

    def test_get_into_a_file_holds_no_copy(self) -> None:
        output = self.directory / "big.raw"
        self.check_growth(("get", "small.safetensors", "small", "-o", self.directory / "small.raw"),
                          ("get", "big.safetensors", "big", "-o", output), 0)
        self.assertEqual(output.stat().st_size, TENSOR_BYTES)
        with open(self.path, "rb") as expected, open(output, "rb") as got:
            expected.seek(data_offset(self.path))
            while block := got.read(COMPARED_BYTES):
                self.assertTrue(expected.read(COMPARED_BYTES) == block, "wrong bytes")

    def test_fetch_into_memory_holds_no_second_copy(self) -> None:
        rounds = ("--rounds", "3", "--latency-reads", "1")
        self.check_growth(("bench", "small.safetensors", "small", *rounds),
                          ("bench", "big.safetensors", "big", *rounds), TENSOR_BYTES)

    @unittest.skipIf(FAKE_CUDA_DIR is None, "TENSORFERRY_FAKE_CUDA_DIR is not set")
    def test_fetch_into_device_memory_holds_the_staging_buffers_and_nothing_else(self) -> None:
        rounds = ("--rounds", "1", "--latency-reads", "1")
        _, base = self.peaks_of("bench", "small.safetensors", "small", *rounds)
        peaks = {}
        for buffers in (2, 16):
            pinned_bytes = buffers * 4 * MIB
            _, peaks[buffers] = self.peaks_of("bench", "big.safetensors", "big", *rounds, "--device", "cuda:0",
                                              "--staging-buffers", buffers, env={"LD_LIBRARY_PATH": FAKE_CUDA_DIR})
            growth = peaks[buffers] - base - pinned_bytes
            print(f"bench --device: client {base / MIB:.1f} MiB, grew by {growth / MIB:.1f} in addition to staging "
                  f"buffers of {pinned_bytes / MIB:.0f}", file=sys.stderr)
            self.assertLess(growth, ALLOWED_GROWTH_BYTES)
        # The measurement includes the staging buffers.
        self.assertGreater(peaks[16] - peaks[2], 14 * 4 * MIB - ALLOWED_GROWTH_BYTES)

    def test_pull_holds_no_copy(self) -> None:
        self.check_growth(("pull", "small.safetensors", self.directory / "small"),
                          ("pull", "big.safetensors", self.directory / "big"), 0)
        self.assertEqual(harness.sha256(self.directory / "big/big.safetensors"), harness.sha256(self.path))


if __name__ == "__main__":
    unittest.main()
