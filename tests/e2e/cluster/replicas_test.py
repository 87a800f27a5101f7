# SPDX-License-Identifier: Apache-2.0
"""Several servers behind one name, as behind a headless Service: connections spread over them, one tensor is striped
over them, and no fetch fails while they are replaced."""

import threading
import unittest

import harness
from big_tensor_fixture import BigTensorFixture
from dns_server import DnsServer
from metrics_text import scrape, total

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
ADMIN = ("--admin-listen", "127.0.0.1:0")


class ReplicasTest(BigTensorFixture):
    """Three servers with one root, at one port of three addresses."""

    def setUp(self) -> None:
        super().setUp()
        self.servers = [harness.Server(self.root, *ADMIN, listen=f"{HOSTS[0]}:0")]
        self.addCleanup(lambda: [server.stop() for server in self.servers])
        self.port = self.servers[0].address.rsplit(":", 1)[1]
        self.servers += [self.start(host) for host in HOSTS[1:]]
        self.dns = DnsServer(list(HOSTS))
        self.addCleanup(self.dns.close)

    def start(self, host: str) -> harness.Server:
        return harness.Server(self.root, *ADMIN, listen=f"{host}:{self.port}")

    def sent_bytes(self) -> list[float]:
        return [total(scrape(server), "tensorferry_sent_bytes_total") for server in self.servers]

    def test_calls_spread_over_the_servers_of_a_name(self) -> None:
        name = f"dns://{self.dns.address}/models.test:{self.port}"
        # Timing decides which of the servers a process is connected to when it calls.
        for count in range(1, 301):
            self.fetch([name])
            expected = count * self.TENSOR_BYTES
            harness.wait_until(lambda expected=expected: sum(self.sent_bytes()) == expected, "all to be counted")
            if all(self.sent_bytes()):
                break
        self.assertTrue(all(self.sent_bytes()), self.sent_bytes())

    def test_one_tensor_is_striped_over_a_list(self) -> None:
        self.fetch([server.address for server in self.servers], "--connections", "3")
        harness.wait_until(lambda: sum(self.sent_bytes()) == self.TENSOR_BYTES, "all to be counted")
        self.assertTrue(all(self.sent_bytes()), self.sent_bytes())

    def test_replacing_all_behind_a_name_fails_no_fetch(self) -> None:
        name = f"dns://{self.dns.address}/models.test:{self.port}"
        stop = threading.Event()
        failures = []
        fetches = []

        def fetch_on() -> None:
            while not stop.is_set() or not fetches:
                try:
                    self.fetch([name], "--retries", "20")
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
