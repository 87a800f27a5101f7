# SPDX-License-Identifier: Apache-2.0
"""Servers that are killed, stopped, restarted and frozen in the middle of transfers, repeatedly."""

import os
import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Callable

import grpc
import numpy

import harness
from stalling_proxy import StallingProxy
from stock_client import pb, pb_grpc
from tensor_files import data_offset, write_big_file

TENSOR_BYTES = 24 << 20
ROUNDS_OF_EACH = 2 if harness.SANITIZED else 8


class KillTest(harness.EndToEndTest):
    """One address whose server is replaced in the middle of transfers. Every transfer must deliver every byte."""

    def setUp(self) -> None:
        super().setUp()
        self.random = harness.random_source(self.id())
        self.root = self.directory / "root"
        self.model = self.root / "m.safetensors"
        write_big_file(self.model, "t", TENSOR_BYTES, numpy.random.default_rng(harness.SEED))
        self.expected = self.model.read_bytes()[data_offset(self.model):]
        self.server = harness.Server(self.root, "--drain-timeout=0")
        self.address = self.server.address
        self.addCleanup(lambda: self.server.stop())

    def restart(self, *options: str) -> None:
        self.server.stop()
        self.server = harness.Server(self.root, *options, listen=self.address)

    def fetch_meanwhile(self, fault: Callable[[StallingProxy], object]) -> None:
        """Stops a transfer at a random byte, causes the fault, and lets the transfer continue at the server itself."""
        output = self.directory / "t.raw"
        with StallingProxy(self.address, self.random.randrange(1, TENSOR_BYTES)) as proxy:
            program = subprocess.Popen(
                harness.cli_command("get", "m.safetensors", "t", "-o", output, "--server",
                                    f"{proxy.address},{self.address}", "--retries", "1000"), stderr=subprocess.PIPE)
            self.addCleanup(program.kill)
            self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
            fault(proxy)
            _, stderr = program.communicate(timeout=harness.PATIENCE_SECONDS)
        self.assertEqual(program.returncode, 0, harness.stderr_text(stderr))
        self.assertTrue(output.read_bytes() == self.expected, "success with wrong bytes")
        output.unlink()

    def killed(self) -> None:
        def fault(proxy: StallingProxy) -> None:
            self.server.kill()
            proxy.cut()
            self.restart("--drain-timeout=0")

        self.fetch_meanwhile(fault)

    def ended(self) -> None:
        def fault(proxy: StallingProxy) -> None:
            self.server.terminate()
            proxy.cut()
            self.restart("--drain-timeout=0")

        self.fetch_meanwhile(fault)

    def frozen(self) -> None:
        def fault(proxy: StallingProxy) -> None:
            self.server.process.send_signal(signal.SIGSTOP)
            proxy.cut()
            # The client connects to a server that does not answer.
            time.sleep(self.random.uniform(0, 0.3))
            self.server.process.send_signal(signal.SIGCONT)

        self.fetch_meanwhile(fault)

    def drained(self) -> None:
        """A stream that runs when the server drains is completed."""
        self.restart(f"--drain-timeout={harness.PATIENCE_SECONDS}")
        with grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1),
                                                  ("grpc.http2.bdp_probe", 0)]) as channel:
            stream = pb_grpc.TensorServiceStub(channel).GetTensor(
                pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t")), timeout=harness.PATIENCE_SECONDS)
            received = [next(stream).chunk.data]
            self.server.terminate()
            received += [message.chunk.data for message in stream]
        self.assertTrue(b"".join(received) == self.expected, "success with wrong bytes")
        self.restart("--drain-timeout=0")

    def test_no_round_costs_a_byte(self) -> None:
        kinds = [self.killed, self.ended, self.frozen, self.drained] * ROUNDS_OF_EACH
        self.random.shuffle(kinds)
        for number, kind in enumerate(kinds):
            with self.subTest(f"round {number}: {kind.__name__}"):
                kind()
        print(f"{len(kinds)} rounds, {ROUNDS_OF_EACH} each of killed, ended, frozen and drained: all bytes right",
              file=sys.stderr)

    def test_frozen_server_holds_nothing_afterwards(self) -> None:
        self.fetch_meanwhile(lambda proxy: proxy.cut())
        descriptors = len(os.listdir(f"/proc/{self.server.pid}/fd"))
        for _ in range(3):
            self.frozen()
        harness.wait_until(lambda: len(os.listdir(f"/proc/{self.server.pid}/fd")) <= descriptors,
                           "the descriptors' return")


if __name__ == "__main__":
    unittest.main()
