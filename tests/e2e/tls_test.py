# SPDX-License-Identifier: Apache-2.0
"""TLS and mutual TLS between our client, stock gRPC and the server; what is told when it fails; new certificates."""

import os
import pathlib
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable

import grpc
import numpy
from grpc_health.v1 import health_pb2, health_pb2_grpc

import harness
import stock_client
from certificates import Authority, Certificate
from stock_client import pb, pb_grpc
from tensor_files import make_tensor, write_big_file, write_safetensors

BIG_BYTES = 64 << 20
ROTATIONS = 3 if harness.SANITIZED else 20


def server_options(certificate: Certificate, *more: object) -> list[str]:
    """The flags of a server that shows `certificate`."""
    return ["--tls-cert", str(certificate.certificate), "--tls-key", str(certificate.key), *map(str, more)]


def client_options(authority: Authority, certificate: Certificate | None = None) -> list[str]:
    """The flags of a client that trusts `authority` and shows `certificate`."""
    shown = [] if certificate is None else ["--tls-cert", str(certificate.certificate), "--tls-key", str(certificate.key)]
    return ["--tls-ca", str(authority.certificate), *shown]


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


class TlsFixture(harness.EndToEndTest):
    """One authority that all trust, and one that nobody should; one small model."""

    @classmethod
    def setUpClass(cls) -> None:
        directory = pathlib.Path(os.path.realpath(cls.enterClassContext(tempfile.TemporaryDirectory())))
        cls.authority = Authority(directory / "good", "good authority")
        cls.stranger = Authority(directory / "stranger", "stranger")
        cls.server_certificate = cls.authority.issue_for_server()
        cls.client_certificate = cls.authority.issue("rank-0", "DNS:rank-0.fleet,URI:spiffe://fleet/rank-0")

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        generator = numpy.random.default_rng(harness.SEED)
        self.tensor = make_tensor("t", "U8", (5000,), generator)
        write_safetensors(self.root / "m.safetensors", [self.tensor])

    def serve_tls(self, *options: object, listen: str = "127.0.0.1:0") -> harness.Server:
        return self.serve(self.root, *server_options(self.server_certificate, *options), listen=listen)

    def fetch(self, server: harness.Server, *options: str) -> bytes:
        output = self.directory / "out"
        self.cli_succeeds("get", "m.safetensors", "t", "-o", output, *options, server=server)
        return output.read_bytes()

    def ls_fails(self, server: harness.Server, named: tuple[str, ...], *options: str) -> None:
        self.cli_fails(1, (server.address, *named), "ls", "--connect-timeout", "5", *options, server=server)


class TlsTest(TlsFixture):
    """What TLS lets in and what it keeps out."""

    def test_big_tensor_arrives_exactly(self) -> None:
        write_big_file(self.root / "big.safetensors", "big", BIG_BYTES, numpy.random.default_rng(harness.SEED))
        server = self.serve_tls()
        output = self.directory / "big"
        for connections in ("1", "3"):
            self.cli_succeeds("get", "big.safetensors", "big", "-o", output, "--connections", connections,
                              *client_options(self.authority), server=server)
            with open(self.root / "big.safetensors", "rb") as file:
                file.seek(-BIG_BYTES, os.SEEK_END)
                self.assertTrue(file.read() == output.read_bytes(), "wrong bytes")

    def test_stock_client_and_health(self) -> None:
        server = self.serve_tls()
        credentials = grpc.ssl_channel_credentials(self.authority.certificate.read_bytes())
        with grpc.secure_channel(server.address, credentials) as channel:
            stream = stock_client.read_stream(
                pb_grpc.TensorServiceStub(channel).GetTensor(pb.GetTensorRequest(model="m.safetensors", tensor="t")))
            self.assertEqual(bytes(stream.data[0]), self.tensor.data)
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            self.assertEqual(health.status, health_pb2.HealthCheckResponse.SERVING)

    def test_any_address_and_unix_sockets(self) -> None:
        server = self.serve_tls(listen="0.0.0.0:0")
        port = server.address.rsplit(":", 1)[1]
        for host in ("127.0.0.1", "localhost"):
            self.cli_succeeds("ls", "--server", f"{host}:{port}", *client_options(self.authority))
        server = self.serve_tls(listen=f"unix:{self.directory}/socket")
        self.assertEqual(self.fetch(server, *client_options(self.authority)), self.tensor.data)

    def test_environment(self) -> None:
        server = self.serve_tls("--tls-client-ca", self.authority.certificate)
        environment = {"TENSORFERRY_TLS_CA": str(self.authority.certificate),
                       "TENSORFERRY_TLS_CERT": str(self.client_certificate.certificate),
                       "TENSORFERRY_TLS_KEY": str(self.client_certificate.key)}
        self.cli_succeeds("ls", server=server, env=environment)

    def test_tls_1_1_is_refused_and_1_2_taken(self) -> None:
        server = self.serve_tls()
        host, port = server.address.rsplit(":", 1)
        for version, taken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
            result = harness.run_program(["openssl", "s_client", "-connect", f"{host}:{port}", version, "-alpn", "h2",
                                          "-cipher", "ALL:@SECLEVEL=0"])
            self.assertEqual(b"BEGIN CERTIFICATE" in result.stdout, taken, version)

    def test_server_that_is_not_to_be_trusted_is_told(self) -> None:
        server = self.serve_tls()
        self.ls_fails(server, ("certificate verify failed", "not of an authority"), *client_options(self.stranger))
        # Nor is it known to the system.
        self.ls_fails(server, ("certificate verify failed",), "--tls")
        self.ls_fails(server, ("for another name",), *client_options(self.authority), "--tls-server-name", "other.example")
        self.assertEqual(self.fetch(server, *client_options(self.authority), "--tls-server-name", "localhost"),
                         self.tensor.data)
        expired = self.serve(self.root, *server_options(self.authority.issue_for_server(days=-1)))
        self.assertIn("not valid now", expired.stderr())
        self.ls_fails(expired, ("certificate verify failed", "expired"), *client_options(self.authority))

    def test_plaintext_and_tls_do_not_meet(self) -> None:
        self.ls_fails(self.serve_tls(), ("does the server want TLS?",))
        self.ls_fails(self.serve(self.root), ("does not speak TLS",), *client_options(self.authority))

    def test_mutual_tls(self) -> None:
        server = self.serve_tls("--tls-client-ca", self.authority.certificate)
        self.assertEqual(self.fetch(server, *client_options(self.authority, self.client_certificate)), self.tensor.data)
        self.ls_fails(server, ("client certificate",), *client_options(self.authority))
        self.ls_fails(server, ("client certificate",),
                      *client_options(self.authority, self.stranger.issue("rank-0", "DNS:rank-0.fleet")))
        expired = self.authority.issue("rank-0", days=-1)
        self.ls_fails(server, (str(expired.certificate), "expired"), *client_options(self.authority, expired))
        # Stock gRPC does not look at the dates of its own certificate: here the server has to.
        credentials = grpc.ssl_channel_credentials(self.authority.certificate.read_bytes(), expired.key.read_bytes(),
                                                   expired.certificate.read_bytes())
        with grpc.secure_channel(server.address, credentials) as channel, self.assertRaises(grpc.RpcError) as raised:
            pb_grpc.TensorServiceStub(channel).ListModels(pb.ListModelsRequest(), timeout=20)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_only_allowed_clients_may_call(self) -> None:
        mutual = ("--tls-client-ca", self.authority.certificate)
        mine = client_options(self.authority, self.client_certificate)
        for name in ("rank-0", "rank-0.fleet", "spiffe://fleet/rank-0"):
            server = self.serve_tls(*mutual, "--allowed-clients", "somebody", "--allowed-clients", name)
            self.assertEqual(self.fetch(server, *mine), self.tensor.data)
        server = self.serve_tls(*mutual, "--allowed-clients", "rank-0.flee", "--allowed-clients", "rank-0.fleet,rank-0",
                                "--allowed-clients", "*")
        refused = ("client certificate", "rank-0.fleet")
        self.cli_fails(1, refused, "ls", *mine, server=server)
        credentials = grpc.ssl_channel_credentials(self.authority.certificate.read_bytes(),
                                                   self.client_certificate.key.read_bytes(),
                                                   self.client_certificate.certificate.read_bytes())
        with grpc.secure_channel(server.address, credentials) as channel:
            with self.assertRaises(grpc.RpcError) as raised:
                list(pb_grpc.TensorServiceStub(channel).GetTensor(
                    pb.GetTensorRequest(model="m.safetensors", tensor="t"), timeout=20))
            self.assertEqual(raised.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
            # Probes have no list to be on.
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            self.assertEqual(health.status, health_pb2.HealthCheckResponse.SERVING)

    def test_bad_files_end_the_start(self) -> None:
        good = self.server_certificate
        garbage = self.directory / "garbage.pem"
        garbage.write_text("no certificate")
        broken = self.directory / "broken.pem"
        broken.write_text(good.certificate.read_text().replace("MI", "@@", 1))
        encrypted = self.directory / "encrypted.pem"
        encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGw\n-----END ENCRYPTED PRIVATE KEY-----\n")
        missing = self.directory / "missing.pem"
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        other = self.authority.issue_for_server()
        for options, named in (
                (server_options(Certificate(missing, good.key)), (str(missing), "No such file")),
                (server_options(Certificate(good.certificate, missing)), (str(missing), "No such file")),
                (server_options(Certificate(garbage, good.key)), (str(garbage), "no certificate")),
                (server_options(Certificate(broken, good.key)), (str(broken), "cannot be read")),
                (server_options(Certificate(good.certificate, garbage)), (str(garbage), "no private key")),
                (server_options(Certificate(good.certificate, encrypted)), (str(encrypted), "encrypted")),
                (server_options(Certificate(good.certificate, other.key)), (str(other.key), str(good.certificate))),
                (server_options(Certificate(fifo, good.key)), (str(fifo), "regular file")),
                (server_options(good, "--tls-client-ca", garbage), (str(garbage), "no certificate"))):
            with self.subTest(named):
                self.server_fails(1, named, *options)
        for options, named in ((["--tls-cert", good.certificate], "--tls-key"),
                               (["--tls-key", good.key], "--tls-cert"),
                               (["--tls-client-ca", self.authority.certificate], "--tls-cert"),
                               (server_options(good, "--allowed-clients", "a"), "--tls-client-ca"),
                               (server_options(good, "--tls-client-ca", ""), "empty"),
                               (["--tls-cert", "", "--tls-key", ""], "empty"),
                               (["--insecure", "--token-file", ""], "empty")):
            with self.subTest(named):
                self.server_fails(2, (named,), *options)

    def test_bad_files_of_the_client_are_told(self) -> None:
        server = self.serve_tls()
        garbage = self.directory / "garbage.pem"
        garbage.write_text("no certificate")
        good, other = self.client_certificate, self.authority.issue("other")
        self.ls_fails(server, (str(garbage), "no certificate"), "--tls-ca", str(garbage))
        self.ls_fails(server, ("missing.pem", "No such file"), "--tls-ca", "missing.pem")
        self.ls_fails(server, (str(other.key),), *client_options(self.authority, Certificate(good.certificate, other.key)))
        self.cli_fails(2, ("--tls-key",), "ls", "--tls-cert", good.certificate, server=server)
        self.cli_fails(2, ("--tls-ca", "empty"), "ls", "--tls-ca", "", server=server)

    def server_fails(self, code: int, named: tuple[str, ...], *options: object) -> None:
        """tensorferryd must end with `code`, and say each of `named` in its last line (or in CLI11's words)."""
        result = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--root", str(self.root), "--listen",
                                      "127.0.0.1:0", *map(str, options)], patience=20)
        self.assertEqual((result.returncode, result.stdout), (code, b""), result.stderr)
        for text in named:
            self.assertIn(text, result.stderr if code == 2 else result.stderr.splitlines()[-1])


class Load:
    """Threads that connect anew, fetch and compare, again and again, until the `with` block ends."""

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

    def replace(self, number: int, certificate: Certificate) -> None:
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
            for source, target in ((certificate.key, "tls.key"), (certificate.certificate, "tls.crt")):
                new = served / "new"
                shutil.copy(source, new)
                new.rename(served / target)
                time.sleep(1.2)
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
        request = pb.GetTensorRequest(model="m.safetensors", tensor="t")

        def fetch() -> bytes:
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.secure_channel(server.address, grpc.ssl_channel_credentials(trusted), options) as channel:
                return bytes(stock_client.read_stream(
                    pb_grpc.TensorServiceStub(channel).GetTensor(request, timeout=60)).data[0])

        old = self.server_certificate
        with Load(fetch, self.tensor.data) as load:
            for number in range(ROTATIONS):
                new = self.authority.issue_for_server()
                self.replace(number, new)
                harness.wait_until(lambda: serial_served(server.address) == new.serial, "the new certificate")
                self.assertNotEqual(new.serial, old.serial)
                old = new
                self.assertEqual(self.fetch(server, *client_options(self.authority)), self.tensor.data)
        self.assertEqual(load.failures, [])
        self.assertGreater(load.calls, 3 * ROTATIONS)
        print(f"{load.calls} connections over {ROTATIONS} certificates, none failed", file=sys.stderr)

    def test_broken_replacement_changes_nothing_until_it_is_mended(self) -> None:
        server = self.serve(self.root, *server_options(self.served))
        trust = client_options(self.authority)
        for broken in (b"", b"no certificate", self.stranger.issue_for_server().certificate.read_bytes(), None):
            if broken is None:
                self.served.certificate.unlink()
            else:
                self.served.certificate.write_bytes(broken)
            before = server.stderr().count("the certificates stay as they were")

            def told() -> bool:
                self.cli_succeeds("ls", *trust, server=server)
                return server.stderr().count("the certificates stay as they were") > before

            harness.wait_until(told, "the server to tell that the certificate is bad")
            self.assertEqual(serial_served(server.address), self.server_certificate.serial)
        # It is told once, not at every handshake.
        told_so_far = server.stderr().count("the certificates stay as they were")
        time.sleep(1.2)
        self.cli_succeeds("ls", *trust, server=server)
        self.assertEqual(server.stderr().count("the certificates stay as they were"), told_so_far)
        new = self.authority.issue_for_server()
        self.replace(0, new)
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
