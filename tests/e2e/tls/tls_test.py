# SPDX-License-Identifier: Apache-2.0
"""TLS and mutual TLS between our client, stock gRPC and the server, and what is told when it fails."""

import os
import unittest

import grpc
import numpy
from grpc_health.v1 import health_pb2, health_pb2_grpc

import harness
import stock_client
from certificates import Certificate
from stock_client import pb, pb_grpc
from tensor_files import write_big_file
from tls_fixture import TlsFixture, client_options, server_options

BIG_BYTES = 64 << 20


class TlsTest(TlsFixture):
    """Connections that TLS accepts, and those that it refuses."""

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
            stream = stock_client.read_stream(pb_grpc.TensorServiceStub(channel).GetTensor(
                pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"))))
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
        self.ls_fails(server, ("certificate verify failed", "not trusted here"), *client_options(self.stranger))
        # Nor is it known to the system.
        self.ls_fails(server, ("certificate verify failed",), "--tls")
        self.ls_fails(server, ("for another name",), *client_options(self.authority), "--tls-server-name",
                      "other.example")
        self.assertEqual(self.fetch(server, *client_options(self.authority), "--tls-server-name", "localhost"),
                         self.tensor.data)
        expired = self.serve(self.root, *server_options(self.authority.issue_for_server(days=-1)))
        self.assertIn("not valid now", expired.stderr())
        self.ls_fails(expired, ("certificate verify failed", "expired"), *client_options(self.authority))

    def test_plaintext_and_tls_do_not_meet(self) -> None:
        self.ls_fails(self.serve_tls(), ("it may require TLS",))
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
                    pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t")), timeout=20))
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
                (server_options(Certificate(broken, good.key)), (str(broken), "cannot be parsed")),
                (server_options(Certificate(good.certificate, garbage)), (str(garbage), "no private key")),
                (server_options(Certificate(good.certificate, encrypted)), (str(encrypted), "encrypted")),
                (server_options(Certificate(good.certificate, other.key)), (str(other.key), str(good.certificate))),
                (server_options(Certificate(fifo, good.key)), (str(fifo), "regular file")),
                (server_options(good, "--tls-client-ca", garbage), (str(garbage), "no certificate"))):
            with self.subTest(named):
                self.server_fails(1 if "No such file" in named else 2, named, *options)
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
        mixed = Certificate(good.certificate, other.key)
        self.ls_fails(server, (str(other.key),), *client_options(self.authority, mixed))
        self.cli_fails(2, ("--tls-key",), "ls", "--tls-cert", good.certificate, server=server)
        self.cli_fails(2, ("--tls-ca", "empty"), "ls", "--tls-ca", "", server=server)

    def server_fails(self, code: int, named: tuple[str, ...], *options: object) -> None:
        """tensorferryd must end with `code`, and say each of `named` in its last line (or in CLI11's words)."""
        result = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--root", str(self.root), "--listen",
                                      "127.0.0.1:0", *map(str, options)], patience=20)
        self.assertEqual((result.returncode, result.stdout), (code, b""), result.stderr)
        for text in named:
            self.assertIn(text, result.stderr if code == 2 else result.stderr.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
