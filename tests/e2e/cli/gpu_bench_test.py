# SPDX-License-Identifier: Apache-2.0
"""Compares fetches into GPU memory with fetches into host memory: one line for each choice of staging buffers.

Checks the bytes, and only prints the rates. Skipped without a GPU.

Environment, in addition to that of harness.py:
  TENSORFERRY_GPU_BENCH_MIB   MiB to fetch (default 1024)
"""

import json
import os
import pathlib
import shutil
import unittest

import numpy

import harness
from tensor_files import make_tensor, write_safetensors

MIB = 1 << 20
SIZE_BYTES = int(os.environ.get("TENSORFERRY_GPU_BENCH_MIB", "1024")) * MIB
TENSORS_OF_PLAN = 1000
# Numbers of staging buffers, and the size of each in MiB. The first pair is the default.
STAGING_BUFFERS = ((4, 4), (2, 4), (8, 4), (16, 4), (4, 1), (4, 2), (4, 8), (4, 16))
WITHOUT_GPU = "no NVIDIA driver|driver is too old|cannot start the NVIDIA driver|no device cuda"
SANITIZER = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
SANITIZER_PATIENCE_SECONDS = 500


class GpuBenchTest(harness.EndToEndTest):
    """Models of equal size: one with a single tensor, one with many small tensors."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(self.root / "tiny.safetensors", [make_tensor("tiny", "U8", (4096,), self.generator)])
        self.server = self.serve(self.root)
        result = self.run_cli("bench", "tiny.safetensors", "--rounds", "1", "--latency-reads", "1", "--device",
                              "cuda:0", "--json", server=self.server)
        if result.returncode != 0:
            self.assertRegex(result.stderr, WITHOUT_GPU)
            self.skipTest(f"not tested on a GPU: {result.stderr.rstrip()}")
        self.device_name = json.loads(result.stdout)["device_name"]

    def rate(self, model: str, *args: object) -> float:
        """Returns the median rate of a few rounds, in GB/s."""
        result = self.cli_json("bench", model, "--rounds", "5", "--latency-reads", "20", *args, server=self.server)
        return result["bytes_per_second"] / 1e9

    def compare(self, model: str, connections: int) -> None:
        """Measures both kinds of memory alternately, because the rate of a machine drifts."""
        print(f"{model}, {SIZE_BYTES // MIB} MiB, connections: {connections}", flush=True)
        for buffers, mib in STAGING_BUFFERS:
            shared = ("--connections", connections)
            host = self.rate(model, *shared)
            device = self.rate(model, *shared, "--device", "cuda:0", "--staging-buffers", buffers,
                               "--staging-buffer-bytes", f"{mib}MiB")
            print(f"  {buffers} staging buffers of {mib} MiB: {device:.2f} GB/s into cuda:0, "
                  f"{host:.2f} GB/s into host memory: {device / host:.2f}", flush=True)

    def test_rates_compared_with_host_memory(self) -> None:
        large = make_tensor("large", "U8", (SIZE_BYTES,), self.generator)
        write_safetensors(self.root / "one-tensor.safetensors", [large])
        write_safetensors(self.root / "plan.safetensors",
                          [make_tensor(f"t{i}", "U8", (SIZE_BYTES // TENSORS_OF_PLAN,), self.generator)
                           for i in range(TENSORS_OF_PLAN)])
        self.server = self.serve(self.root)
        print(f"cuda:0 is {self.device_name}; {os.cpu_count()} cores", flush=True)
        fetched = self.device_get_succeeds("one-tensor.safetensors", "large", "--device", "cuda:0", server=self.server)
        self.assertTrue(fetched == large.data)
        del fetched
        for model in ("one-tensor.safetensors", "plan.safetensors"):
            for connections in (1, 4):
                self.compare(model, connections)

    def test_compute_sanitizer_finds_nothing(self) -> None:
        if self.device_name.startswith("Fake GPU"):
            self.skipTest("compute-sanitizer needs a real driver")
        if not pathlib.Path(SANITIZER).exists():
            self.skipTest("no compute-sanitizer on this machine")
        # Excludes the tests that pass wrong values to the driver.
        command = [SANITIZER, "--error-exitcode", "9", str(harness.BIN_DIR.parent / "tests/cuda_fetch_test"),
                   "--gtest_filter=-*AreRefused"]
        result = harness.run_program(command, patience=SANITIZER_PATIENCE_SECONDS)
        print(result.stdout.decode(errors="replace"), flush=True)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
