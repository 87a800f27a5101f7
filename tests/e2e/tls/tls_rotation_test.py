# SPDX-License-Identifier: Apache-2.0
"""New certificates and authorities for a server that runs, good ones and broken ones."""

import pathlib
import shutil
import socket
import ssl
import sys
import threading
import unittest
from collections.abc import Callable

import grpc

import harness
import stock_client
from certificates import Certificate
from stock_client import pb, pb_grpc
from tls_fixture import TlsFixture, client_options, server_options

INVALID = "certificate files invalid, serving previous certificate"
ROTATIONS = 3 if harness.SANITIZED else 20


def serial_served(address: str) -> int:
    """The serial number of the certificate that a new connection gets."""
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain) as connection:
        der = connection.getpeercert(binary_form=True)
    # SEQUENCE, SEQUENCE, [0] version, then the INTEGER.
    position = der.index(b"\xa0\x03\x02\x01\x02") + 5
    length = der[position + 1]
    return int.from_bytes(der[position + 2:position + 2 + length], "big")


class Load:
    """Threads that connect, fetch and compare, again and again, until the `with` block ends."""

    def __init__(self, fetch: Callable[[], bytes], expected: bytes, threads: int = 3):
        self._fetch = fetch
        self._expected = expected
        self._ended = threading.Event()
        self.calls = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                if self._fetch() != self._expected:
                    self.failures.append("wrong bytes")
            except (grpc.RpcError, AssertionError) as error:
                self.failures.append(repr(error))
            self.calls += 1


class RotationTest(TlsFixture):
    """The server's certificate is replaced while clients connect and fetch all the time."""

    def replace(self, server: harness.Server, number: int, certificate: Certificate) -> None:
        """Replaces what is served, in one of the ways in which that happens."""
        served = self.served.certificate.parent
        way = number % 3
        if way == 0:  # a volume of Kubernetes: one link leads to both
            new = self.directory / f"version-{number}"
            self.copy(certificate, new)
            link = self.directory / "link"
            link.symlink_to(new)
            link.rename(served)
        elif way == 1:  # one after the other, with a pause in which they do not belong together
            before = server.stderr().count(INVALID)
            for source, target in ((certificate.key, "tls.key"), (certificate.certificate, "tls.crt")):
                new = served / "new"
                shutil.copy(source, new)
                new.rename(served / target)
                # At the next handshake the server finds files that do not match.
                harness.wait_until(lambda b=before: server.stderr().count(INVALID) > b, "the error")
        else:  # in place
            self.copy(certificate, served)

    @staticmethod
    def copy(certificate: Certificate, directory: pathlib.Path) -> None:
        directory.mkdir(exist_ok=True)
        shutil.copy(certificate.certificate, directory / "tls.crt")
        shutil.copy(certificate.key, directory / "tls.key")

    def setUp(self) -> None:
        super().setUp()
        self.copy(self.server_certificate, self.directory / "version")
        (self.directory / "tls").symlink_to(self.directory / "version")
        self.served = Certificate(self.directory / "tls/tls.crt", self.directory / "tls/tls.key")

    def test_no_call_fails_while_certificates_are_replaced(self) -> None:
        server = self.serve(self.root, *server_options(self.served))
        trusted = self.authority.certificate.read_bytes()
        request = pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"))

        def fetch() -> bytes:
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.secure_channel(server.address, grpc.ssl_channel_credentials(trusted), options) as channel:
                return bytes(stock_client.read_stream(
                    pb_grpc.TensorServiceStub(channel).GetTensor(request, timeout=60)).data[0])

        old = self.server_certificate
        with Load(fetch, self.tensor.data) as load:
            for number in range(ROTATIONS):
                new = self.authority.issue_for_server()
                self.replace(server, number, new)
                harness.wait_until(lambda: serial_served(server.address) == new.serial, "the new certificate")
                self.assertNotEqual(new.serial, old.serial)
                old = new
                self.assertEqual(self.fetch(server, *client_options(self.authority)), self.tensor.data)
        self.assertEqual(load.failures, [])
        self.assertGreater(load.calls, 3 * ROTATIONS)
        print(f"{load.calls} connections over {ROTATIONS} certificates, none failed", file=sys.stderr)

    def test_invalid_replacement_keeps_the_previous_certificate(self) -> None:
        server = self.serve(self.root, *server_options(self.served))
        trust = client_options(self.authority)
        for broken in (b"", b"no certificate", self.stranger.issue_for_server().certificate.read_bytes(), None):
            if broken is None:
                self.served.certificate.unlink()
            else:
                self.served.certificate.write_bytes(broken)
            before = server.stderr().count(INVALID)

            def told() -> bool:
                self.cli_succeeds("ls", *trust, server=server)
                return server.stderr().count(INVALID) > before

            harness.wait_until(told, "the server to tell that the certificate is bad")
            self.assertEqual(serial_served(server.address), self.server_certificate.serial)
        new = self.authority.issue_for_server()
        self.replace(server, 0, new)
        harness.wait_until(lambda: serial_served(server.address) == new.serial, "the new certificate")

    def test_new_authority_for_clients_counts(self) -> None:
        client_ca = self.directory / "client-ca.pem"
        shutil.copy(self.authority.certificate, client_ca)
        server = self.serve(self.root, *server_options(self.served, "--tls-client-ca", client_ca))
        mine = client_options(self.authority, self.client_certificate)
        theirs = client_options(self.authority, self.stranger.issue("rank-9"))
        self.cli_succeeds("ls", *mine, server=server)
        self.assertEqual(self.run_cli("ls", *theirs, server=server).returncode, 1)
        shutil.copy(self.stranger.certificate, client_ca)
        harness.wait_until(lambda: self.run_cli("ls", *theirs, server=server).returncode == 0, "the new authority")
        self.assertEqual(self.run_cli("ls", *mine, server=server).returncode, 1)


if __name__ == "__main__":
    unittest.main()
