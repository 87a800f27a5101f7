# SPDX-License-Identifier: Apache-2.0
"""Fixture for tests of TLS: CAs, a small model, and the flags of server and client."""

import pathlib
import tempfile

import numpy

import harness
from certificates import Authority, Certificate
from tensor_files import make_tensor, write_safetensors


def server_options(certificate: Certificate, *more: object) -> list[str]:
    """Returns the flags of a server with `certificate`."""
    return ["--tls-cert", str(certificate.certificate), "--tls-key", str(certificate.key), *map(str, more)]


def client_options(authority: Authority, certificate: Certificate | None = None) -> list[str]:
    """Returns the flags of a client that trusts `authority` and has `certificate`."""
    trust = ["--tls-ca", str(authority.certificate)]
    # Server and client have the same names for these flags.
    return trust if certificate is None else server_options(certificate, *trust)


class TlsFixture(harness.EndToEndTest):
    """A CA that both sides trust, a CA that neither trusts, and a small model."""

    @classmethod
    def setUpClass(cls) -> None:
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
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
