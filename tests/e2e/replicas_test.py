# SPDX-License-Identifier: Apache-2.0
"""Several servers behind one name, as behind a headless Service: connections spread, one tensor is striped over them, and
who fetches notices nothing when they are replaced."""

import os
import threading
import unittest

import numpy

import harness
from dns_server import DnsServer
from metrics_text import scrape, total
from tensor_files import write_big_file

TENSOR_BYTES = 16 << 20
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
ADMIN = ("--admin-listen", "127.0.0.1:0")


class ReplicasTest(harness.EndToEndTest):
    """Every test starts three servers on one root, at one port of three addresses."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        write_big_file(self.root / "m.safetensors", "t", TENSOR_BYTES, numpy.random.default_rng(harness.SEED))
        with open(self.root / "m.safetensors", "rb") as file:
            file.seek(-TENSOR_BYTES, os.SEEK_END)
            self.data = file.read()
        self.servers = [harness.Server(self.root, *ADMIN, listen=f"{HOSTS[0]}:0")]
        self.addCleanup(lambda: [server.stop() for server in self.servers])
        self.port = self.servers[0].address.rsplit(":", 1)[1]
        self.servers += [self.start(host) for host in HOSTS[1:]]
        self.dns = DnsServer(list(HOSTS))
        self.addCleanup(self.dns.close)

    def start(self, host: str) -> harness.Server:
        return harness.Server(self.root, *ADMIN, listen=f"{host}:{self.port}")

    def fetch(self, *flags: str) -> None:
        output = self.directory / "t.raw"
        result = self.run_cli("get", "m.safetensors", "t", "-o", output, *flags)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(output.read_bytes() == self.data, "wrong bytes")

    def sent_bytes(self) -> list[float]:
        return [total(scrape(server), "tensorferry_sent_bytes_total") for server in self.servers]

    def test_calls_go_round_what_a_name_stands_for(self) -> None:
        name = f"dns://{self.dns.address}/models.test:{self.port}"
        for count in range(1, 31):
            self.fetch("--server", name)
            harness.wait_until(lambda count=count: sum(self.sent_bytes()) == count * TENSOR_BYTES, "all to be counted")
            if all(self.sent_bytes()):
                break
        self.assertTrue(all(self.sent_bytes()), self.sent_bytes())

    def test_one_tensor_is_striped_over_a_list(self) -> None:
        self.fetch("--server", ",".join(server.address for server in self.servers), "--connections", "3")
        harness.wait_until(lambda: sum(self.sent_bytes()) == TENSOR_BYTES, "all to be counted")
        self.assertTrue(all(self.sent_bytes()), self.sent_bytes())

    def test_replacing_all_behind_a_name_fails_no_fetch(self) -> None:
        name = f"dns://{self.dns.address}/models.test:{self.port}"
        stop = threading.Event()
        failures = []
        fetches = []

        def fetch_on() -> None:
            while not stop.is_set() or not fetches:
                try:
                    self.fetch("--server", name, "--retries", "20")
                except AssertionError as failure:
                    failures.append(failure)
                    return
                fetches.append(None)

        thread = threading.Thread(target=fetch_on)
        thread.start()
        try:
            for i, host in enumerate(HOSTS):
                before = len(fetches)
                self.servers[i].stop()
                self.servers[i] = self.start(host)
                harness.wait_until(lambda before=before: failures or len(fetches) > before, "another fetch")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main()
