# SPDX-License-Identifier: Apache-2.0
"""Files that change while they are streamed: the result is an error or the old bytes, never a mixture, and no crash."""

import os
import pathlib
import subprocess
import sys
import threading
import unittest

import grpc
import numpy

import harness
from certificates import Authority
from stock_client import pb, pb_grpc
from tensor_files import TensorToWrite, write_safetensors
from tls_fixture import server_options

TENSOR_BYTES = 12 << 20
# For each way of reading files.
ROUNDS = 2 if harness.SANITIZED else 13


def truncate(path: pathlib.Path, size: int) -> None:
    os.truncate(path, size)


def truncate_to_nothing(path: pathlib.Path, _: int) -> None:
    os.truncate(path, 0)


def overwrite(path: pathlib.Path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xee" * (4 << 20))


def rewrite(path: pathlib.Path, _: int) -> None:
    size = path.stat().st_size
    with open(path, "wb") as file:
        file.write(b"\xdd" * size)


def punch_hole(path: pathlib.Path, offset: int) -> None:
    subprocess.run(["fallocate", "--punch-hole", "--offset", str(offset), "--length", str(4 << 20), path], check=True)


def replace(path: pathlib.Path, _: int) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(b"\xcc" * path.stat().st_size)
    os.rename(other, path)


def delete(path: pathlib.Path, _: int) -> None:
    path.unlink()


def forbid(path: pathlib.Path, _: int) -> None:
    path.chmod(0)


# Changes that leave the old bytes in place. The stream must deliver them.
HARMLESS = [replace, delete, forbid]
CHANGES = [truncate, truncate_to_nothing, overwrite, rewrite, punch_hole, *HARMLESS]

# gRPC returns UNAVAILABLE or UNKNOWN for a connection that the kernel closed because the bytes to send were gone.
ERRORS = {
    grpc.StatusCode.ABORTED, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN
}


class ChangingFilesTest(harness.EndToEndTest):
    credentials = None

    def write_model(self, root: pathlib.Path, name: str, data: bytes) -> pathlib.Path:
        path = root / f"{name}.safetensors"
        write_safetensors(path, [TensorToWrite("t", "U8", (len(data),), data)])
        return path

    def fetch(self, address: str, model: str, change: object, after: int) -> tuple[grpc.StatusCode, bytes, int]:
        """Streams the tensor, and calls `change` after `after` messages. Returns the status, the received bytes and
        the number of confirmed bytes."""
        # A small window: the server cannot send everything before the change.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
        data = bytearray()
        confirmed = 0
        with (grpc.secure_channel(address, self.credentials, options) if self.credentials is not None
              else grpc.insecure_channel(address, options)) as channel:
            stream = pb_grpc.TensorServiceStub(channel).GetTensor(
                pb.GetTensorRequest(model=model, read=pb.Read(tensor="t")), timeout=harness.PATIENCE_SECONDS)
            try:
                for count, message in enumerate(stream):
                    data += message.chunk.data
                    confirmed = max(confirmed, message.chunk.confirmed_size_bytes)
                    if count == after:
                        change()
            except grpc.RpcError as error:
                return error.code(), bytes(data), confirmed
        return grpc.StatusCode.OK, bytes(data), confirmed

    def check_unchanged(self, address: str, model: str, contents: bytes) -> None:
        code, data, _ = self.fetch(address, model, lambda: None, 0)
        self.assertEqual(code, grpc.StatusCode.OK)
        self.assertTrue(data == contents)

    def run_round(self, root: pathlib.Path, number: int, options: tuple[str, ...], random: object) -> dict[str, int]:
        contents = random.randbytes(TENSOR_BYTES)
        paths = {change: self.write_model(root, change.__name__, contents) for change in CHANGES}
        results = {}
        with harness.Server(root, *options) as server:

            def stream(change: object, offset: int, after: int) -> None:
                path = paths[change]
                results[change] = self.fetch(server.address, path.name, lambda: change(path, offset), after)

            # Bytes that were read before are sent from the mapping.
            if number % 2 == 0:
                for path in paths.values():
                    self.check_unchanged(server.address, path.name, contents)

            threads = [
                threading.Thread(target=stream, args=(change, random.randrange(TENSOR_BYTES), random.randrange(11)))
                for change in CHANGES
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            # The server runs, and serves the other files.
            self.check_unchanged(server.address, "steady.safetensors", self.steady)
        counts = {"ok": 0, "errors": 0}
        for change, (code, data, confirmed) in results.items():
            what = f"round {number}: {change.__name__}: {code}, {len(data)} bytes, {confirmed} of them confirmed"
            self.assertTrue(data[:confirmed] == contents[:confirmed], f"{what}: other bytes were confirmed")
            if code == grpc.StatusCode.OK:
                self.assertTrue(data == contents, f"{what}: not the old bytes")
            else:
                self.assertNotIn(change, HARMLESS, what)
                self.assertIn(code, ERRORS, what)
            counts["ok" if code == grpc.StatusCode.OK else "errors"] += 1
        return counts

    def check(self, *options: str) -> None:
        random = harness.random_source(f"{options[0]} {len(options)}")
        root = self.directory
        self.steady = numpy.arange(1 << 16, dtype="u4").tobytes()
        self.write_model(root, "steady", self.steady)
        totals = {"ok": 0, "errors": 0}
        for number in range(ROUNDS):
            for kind, count in self.run_round(root, number, options, random).items():
                totals[kind] += count
        print(f"{options[0]}{' TLS' if len(options) > 1 else ''}: {totals['ok']} streams with the old bytes, {totals['errors']} with an error, 0 mixed",
              file=sys.stderr)
        self.assertGreater(totals["errors"], 0, "no change came in time: the test tests nothing")

    def test_mapped(self) -> None:
        self.check("--io=mmap")

    def test_pread(self) -> None:
        self.check("--io=pread")

    def test_over_tls(self) -> None:
        directory = self.temporary_directory()
        authority = Authority(directory / "authority", "authority")
        self.credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
        certificate = server_options(authority.issue_for_server())
        for io in ("mmap", "pread"):
            with self.subTest(io):
                self.check(f"--io={io}", *certificate)


if __name__ == "__main__":
    unittest.main()
