# SPDX-License-Identifier: Apache-2.0
"""Limits that protect clients from each other: too many streams are refused, and stalled ones terminated."""

import concurrent.futures
import contextlib
import os
import re
import subprocess
import threading
import time
import unittest
from collections.abc import Callable

import grpc
import numpy
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import harness
from stock_client import pb, pb_grpc
from tensor_files import TensorToWrite, write_safetensors

BIG_BYTES = 16 << 20
STALLED = 20 if harness.SANITIZED else 100


def open_channel(address: str) -> grpc.Channel:
    """Returns a channel with its own connection and a small window: bytes that are not read stay at the server."""
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)])


def retry_delay_seconds(error: grpc.RpcError) -> float | None:
    """Returns the delay in the error's google.rpc.RetryInfo."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


def count_descriptors(pid: int) -> int:
    """Counts the descriptors of a process, except the eventfds that gRPC creates for each thread and keeps."""
    count = 0
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/{pid}/fd/{descriptor}") != "anon_inode:[eventfd]"
    return count


class LimitsTest(harness.EndToEndTest):

    def setUp(self) -> None:
        super().setUp()
        generator = numpy.random.default_rng(harness.SEED)
        self.big = generator.bytes(BIG_BYTES)
        self.small = generator.bytes(3000)
        write_safetensors(self.directory / "m.safetensors", [
            TensorToWrite("big", "U8", (BIG_BYTES,), self.big),
            TensorToWrite("small", "U8", (len(self.small),), self.small),
            # The largest tensor that the server answers at once. It exceeds the window of a client that does not read.
            TensorToWrite("row", "U8", (1 << 16,), self.big[:1 << 16]),
        ])

    def get(self, channel: grpc.Channel, tensor: str, timeout: float = harness.PATIENCE_SECONDS) -> object:
        return pb_grpc.TensorServiceStub(channel).GetTensor(
            pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor=tensor)), timeout=timeout)

    def read(self, channel: grpc.Channel, tensor: str) -> bytes:
        return b"".join(message.chunk.data for message in self.get(channel, tensor))

    def open_channel(self, address: str) -> grpc.Channel:
        channel = open_channel(address)
        self.addCleanup(channel.close)
        return channel

    def stall(self, channel: grpc.Channel) -> object:
        """Starts a stream, and reads only its first message."""
        stream = self.get(channel, "big")
        next(stream)
        return stream

    def cut_off(self, server: harness.Server) -> int:
        """Returns the number of terminated streams in the server's log."""
        return sum(int(count) for count in re.findall(r" streams are cut off: they .* streams=(\d+)$", server.stderr(), re.M))

    def test_more_streams_than_allowed_are_refused_until_one_ends(self) -> None:
        server = self.serve(self.directory, "--max-streams=3")
        channel = self.open_channel(server.address)
        streams = [self.stall(channel) for _ in range(3)]
        with self.assertRaises(grpc.RpcError) as caught:
            self.read(channel, "small")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn("--max-streams", caught.exception.details())
        self.assertEqual(retry_delay_seconds(caught.exception), 1)
        streams[0].cancel()

        def small_is_served() -> bool:
            try:
                return self.read(channel, "small") == self.small
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
                return False

        harness.wait_until(small_is_served, "room for a stream")
        for stream in streams:
            stream.cancel()

    def test_streams_that_hold_too_much_keep_new_ones_out_and_go_on(self) -> None:
        server = self.serve(self.directory, "--max-in-flight-bytes=4MiB", "--stall-timeout=0")
        streams = []

        def refusal() -> grpc.RpcError | None:
            try:
                streams.append(self.stall(self.open_channel(server.address)))
            except grpc.RpcError as error:
                return error
            return None

        error = harness.wait_until(refusal, "a refusal")
        self.assertGreater(len(streams), 0)
        self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn("--max-in-flight-bytes", error.details())
        self.assertEqual(retry_delay_seconds(error), 1)
        # The accepted streams complete, one after the other, while the others keep their bytes in flight.
        for stream in streams:
            received = b"".join(message.chunk.data for message in stream)
            self.assertTrue(self.big.endswith(received) and len(received) > len(self.big) - (2 << 20))
        self.assertTrue(self.read(self.open_channel(server.address), "small") == self.small)

    def test_client_waits_for_room_as_long_as_the_server_asks(self) -> None:
        server = self.serve(self.directory, "--max-streams=1")
        stream = self.stall(self.open_channel(server.address))
        program = subprocess.Popen(
            harness.cli_command("get", "m.safetensors", "small", "-o", "-", "--server", server.address),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(program.kill)
        line = program.stderr.readline().decode()
        self.assertRegex(line, r"--max-streams.*; trying again in 1\.\d s\n\Z")
        stream.cancel()
        stdout, _ = program.communicate(timeout=harness.PATIENCE_SECONDS)
        self.assertEqual((program.returncode, stdout), (0, self.small))

    def test_stalled_streams_are_cut_off_and_good_ones_are_not(self) -> None:
        server = self.serve(self.directory, "--stall-timeout=3")
        self.read(self.open_channel(server.address), "big")
        descriptors = count_descriptors(server.pid)

        def fetch(stop: threading.Event) -> int:
            count = 0
            with open_channel(server.address) as channel:
                while not stop.is_set():
                    self.assertTrue(self.read(channel, "big") == self.big)
                    count += 1
            return count

        def fetch_until(condition: Callable[[], bool], what: str) -> list[int]:
            """Returns the number of fetches of each of ten good clients, and prints their rate."""
            stop = threading.Event()
            start = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                good = [pool.submit(fetch, stop) for _ in range(10)]
                try:
                    harness.wait_until(condition, what)
                finally:
                    stop.set()
                counts = [future.result() for future in good]
            print(f"until {what}: {sum(counts) / (time.monotonic() - start):.0f} fetches a second by 10 good clients")
            return counts

        alone_until = time.monotonic() + 2
        fetch_until(lambda: time.monotonic() > alone_until, "there are stalled streams")
        # At most 50 streams per connection, which is below the server's limit.
        channels = [open_channel(server.address) for _ in range(STALLED // 50 + 1)]
        stalled = [self.stall(channels[i % len(channels)]) for i in range(STALLED)]
        counts = fetch_until(lambda: self.cut_off(server) >= STALLED, "the end of the stalled streams")
        self.assertEqual(self.cut_off(server), STALLED)
        for stream in stalled:
            with self.assertRaises(grpc.RpcError) as caught:
                list(stream)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)
        self.assertGreater(min(counts), 0, "good streams went on")
        for channel in channels:
            channel.close()
        harness.wait_until(lambda: count_descriptors(server.pid) <= descriptors, "the descriptors' return")

    def test_small_answers_that_nobody_takes_are_cut_off(self) -> None:
        server = self.serve(self.directory, "--stall-timeout=1")
        channel = self.open_channel(server.address)
        self.assertTrue(self.read(channel, "row") == self.big[:1 << 16])  # it is in the page cache now
        streams = [self.get(channel, "row") for _ in range(10)]
        harness.wait_until(lambda: self.cut_off(server) == len(streams), "the end of the streams")
        for stream in streams:
            with self.assertRaises(grpc.RpcError) as caught:
                list(stream)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)
        self.assertTrue(self.read(channel, "small") == self.small)
        server.stop()
        self.assertRegex(server.stderr_at_end, r' ended calls=12 by_code="2 OK, 10 Cancell?ed" ')

    def test_stream_that_takes_too_long_is_cut_off_however_it_reads(self) -> None:
        server = self.serve(self.directory, "--max-stream-duration=2", "--stall-timeout=0")
        stream = self.get(self.open_channel(server.address), "big")
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                time.sleep(0.3)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)

    def test_requests_that_are_too_large_are_refused(self) -> None:
        server = self.serve(self.directory)
        stub = pb_grpc.TensorServiceStub(self.open_channel(server.address))
        large = "x" * (300 << 10)
        calls = {
            "stream": lambda: list(stub.GetTensor(
                pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor=large)))),
            "unary": lambda: stub.GetMetadata(pb.GetMetadataRequest(model=large)),
        }
        for name, call in calls.items():
            with self.subTest(name), self.assertRaises(grpc.RpcError) as caught:
                call()
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertIn("limit is 262144", caught.exception.details())
        # A request with many reads may be larger.
        reads = [pb.Read(tensor="small")] * 30_000
        plan = pb.GetTensorsRequest(model="m.safetensors", reads=reads)
        self.assertGreater(plan.ByteSize(), 256 << 10)
        received = sum(len(message.chunk.data) for message in stub.GetTensors(plan))
        self.assertEqual(received, len(reads) * len(self.small))


if __name__ == "__main__":
    unittest.main()
