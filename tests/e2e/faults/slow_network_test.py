# SPDX-License-Identifier: Apache-2.0
"""Transfers over a network with delay and loss: netem in a network namespace, or else a proxy that delays."""

import ctypes
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

import numpy

import harness
from tensor_files import data_offset, write_big_file

CLONE_NEWNET = 0x40000000
TENSOR_BYTES = (2 if harness.SANITIZED else 8) << 20


class DelayingProxy:
    """Forwards all bytes, each piece after a random delay, like loss as seen above TCP."""

    def __init__(self, address: str, generator: random.Random):
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._random = generator
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                # One piece in fifty is lost and sent again later.
                time.sleep(0.2 if self._random.random() < 0.02 else self._random.uniform(0, 0.01))
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def enter_slow_network() -> str:
    """Gives this process and its children a loopback with delay and loss. Returns the reason if that fails."""
    if missing := [name for name in ("ip", "tc") if shutil.which(name) is None]:
        return f"no command {missing[0]}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    for command in ("ip link set lo up", "tc qdisc add dev lo root netem delay 10ms 5ms loss 1%"):
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"{command}: {done.stderr.strip()}"
    return ""


class SlowNetworkTest(harness.EndToEndTest):

    def test_every_byte_arrives_over_one_and_over_several_connections(self) -> None:
        why_not = enter_slow_network()
        model = self.directory / "root/m.safetensors"
        write_big_file(model, "t", TENSOR_BYTES, numpy.random.default_rng(harness.SEED))
        server = self.serve(model.parent)
        address = server.address
        if why_not:
            print(f"without netem, through a proxy ({why_not})", file=sys.stderr)
            proxy = DelayingProxy(address, harness.random_source(self.id()))
            self.addCleanup(proxy.close)
            address = proxy.address
        expected = model.read_bytes()[data_offset(model):]
        for connections in (1, 4):
            output: pathlib.Path = self.directory / str(connections)
            self.cli_succeeds("get", "m.safetensors", "t", "-o", output, "--connections", connections, "--server",
                              address)
            self.assertTrue(output.read_bytes() == expected)


if __name__ == "__main__":
    unittest.main()
