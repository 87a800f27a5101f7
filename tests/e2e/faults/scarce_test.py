# SPDX-License-Identifier: Apache-2.0
"""Few descriptors, little memory, read-only disks: exact errors, and recovery once there is more."""

import os
import resource
import shutil
import socket
import subprocess
import unittest

import grpc
import numpy

import harness
from stock_client import connect, pb
from tensor_files import TensorToWrite, write_big_file, write_safetensors, write_sparse_file

DESCRIPTORS = 128


class ScarceTest(harness.EndToEndTest):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.small = numpy.random.default_rng(harness.SEED).bytes(3000)
        self.write_model("m.safetensors")

    def write_model(self, name: str) -> None:
        write_safetensors(self.root / name, [TensorToWrite("small", "U8", (len(self.small),), self.small)])

    def read(self, stub: object) -> bytes:
        stream = stub.GetTensor(pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="small")),
                                timeout=harness.PATIENCE_SECONDS)
        return b"".join(message.chunk.data for message in stream)

    def can_read(self, address: str) -> bool:
        """Returns True if a new connection can read the tensor, and False if it fails at once with UNAVAILABLE."""
        try:
            self.assertTrue(self.read(connect(address)) == self.small)
            return True
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error)
            return False

    def descriptors(self, server: harness.Server) -> int:
        return len(os.listdir(f"/proc/{server.pid}/fd"))

    def test_connections_beyond_the_descriptors_are_refused_and_harm_nobody(self) -> None:
        for listen in ("127.0.0.1:0", f"unix:{self.directory}/socket"):
            with self.subTest(listen):
                server = self.serve(self.root, "--scan-interval=1", listen=listen,
                                    limits={"nofile": DESCRIPTORS})
                stub = connect(server.address)
                self.assertTrue(self.read(stub) == self.small)
                before = self.descriptors(server)
                idle = []
                for _ in range(3 * DESCRIPTORS):
                    if listen.startswith("unix:"):
                        idle.append(socket.socket(socket.AF_UNIX))
                        idle[-1].connect(server.address.removeprefix("unix:"))
                    else:
                        host, port = server.address.rsplit(":", 1)
                        idle.append(socket.create_connection((host, int(port))))
                harness.wait_until(lambda: "connections refused" in server.stderr(), "a refusal")
                # Existing connections are served, and so are new models: descriptors are reserved for files.
                self.assertTrue(self.read(stub) == self.small)
                self.write_model(f"new{len(listen)}.safetensors")
                harness.wait_until(
                    lambda: any(model.name == f"new{len(listen)}.safetensors" and model.state == pb.MODEL_STATE_READY
                                for model in stub.ListModels(pb.ListModelsRequest()).models), "the new model")
                self.assertFalse(self.can_read(server.address))
                self.assertLess(self.descriptors(server), DESCRIPTORS)
                for connection in idle:
                    connection.close()
                harness.wait_until(lambda: self.can_read(server.address), "room for a connection")
                harness.wait_until(lambda: self.descriptors(server) <= before + 2, "the descriptors' return")

    def test_command_without_room_for_its_connection_fails_at_once_and_names_the_server(self) -> None:
        server = self.serve(self.root, limits={"nofile": DESCRIPTORS})
        host, port = server.address.rsplit(":", 1)
        idle = [socket.create_connection((host, int(port))) for _ in range(2 * DESCRIPTORS)]
        harness.wait_until(lambda: "connections refused" in server.stderr(), "a refusal")
        # A command does not retry its first connection.
        self.cli_fails(1, (server.address,), "get", "m.safetensors", "small", "-o", "-", server=server)
        for connection in idle:
            connection.close()
        harness.wait_until(lambda: self.can_read(server.address), "room for a connection")
        self.assertTrue(self.cli_succeeds("get", "m.safetensors", "small", "-o", "-", server=server) == self.small)

    @unittest.skipIf(harness.SANITIZED, "sanitizers map terabytes for themselves")
    def test_file_that_cannot_be_mapped_is_named_and_hides_no_other(self) -> None:
        write_sparse_file(self.root / "large.safetensors", "t", 64 << 30)
        server = self.serve(self.root, limits={"as": 16 << 30})
        models = {model["name"]: model for model in self.cli_json("ls", server=server)}
        self.assertTrue(models["m.safetensors"]["ready"])
        self.assertFalse(models["large.safetensors"]["ready"])
        self.assertIn('cannot map "large.safetensors": Cannot allocate memory', models["large.safetensors"]["error"])
        self.assertTrue(self.cli_succeeds("get", "m.safetensors", "small", "-o", "-", server=server) == self.small)

    @unittest.skipIf(harness.SANITIZED, "sanitizers map terabytes for themselves")
    def test_server_with_little_memory_serves_many_streams(self) -> None:
        generator = numpy.random.default_rng(harness.SEED)
        write_big_file(self.root / "big.safetensors", "t", 16 << 20, generator)
        server = self.serve(self.root, "--io=pread", "--max-in-flight-bytes=8MiB")
        # The limit leaves 64 MiB for new threads and buffers.
        with open(f"/proc/{server.pid}/statm", encoding="ascii") as statm:
            mapped = int(statm.read().split()[0]) * resource.getpagesize()
        resource.prlimit(server.pid, resource.RLIMIT_AS, (mapped + (64 << 20), mapped + (64 << 20)))
        programs = [subprocess.Popen(harness.cli_command("get", "big.safetensors", "t", "-o", self.directory / str(i),
                                                         "--server", server.address),
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(12)]
        for program in programs:
            _, stderr = program.communicate(timeout=harness.PATIENCE_SECONDS)
            self.assertEqual(program.returncode, 0, stderr)
        digests = {harness.sha256(self.directory / str(i)) for i in range(12)}
        self.assertEqual(len(digests), 1)

    def test_read_only_disk_is_named_and_nothing_is_left(self) -> None:
        disk = self.directory / "disk"
        disk.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], check=False,
                               capture_output=True)
        if mount.returncode != 0:
            self.skipTest(f"cannot mount here: {mount.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", str(disk)], check=True)
        server = self.serve(self.root)
        for name in ("x.raw", "x.npy", "x.safetensors"):
            self.cli_fails(1, (str(disk / name), "Read-only file system"), "get", "m.safetensors", "small", "-o",
                           disk / name, server=server)
        self.cli_fails(1, (str(disk), "Read-only file system"), "pull", "m.safetensors", disk / "copy", server=server)
        self.assertEqual(list(disk.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
