# SPDX-License-Identifier: Apache-2.0
"""CAs and certificates for the tests, created with the openssl command line."""

import dataclasses
import itertools
import pathlib
import subprocess

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*args: object) -> str:
    result = subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            check=False)
    if result.returncode != 0:
        raise RuntimeError(f"openssl {args}: {result.stderr}")
    return result.stdout


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The PEM files of a certificate and its key."""
    certificate: pathlib.Path
    key: pathlib.Path
    serial: int = 0


class Authority:
    """A CA. `certificate` is its own certificate."""

    def __init__(self, directory: pathlib.Path, name: str):
        directory.mkdir(parents=True)
        self._directory = directory
        self._numbers = itertools.count(1)
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.certificate, "-days", 30,
                 "-subj", f"/CN={name}")

    def issue(self, name: str, alternative_names: str = "", days: int = 30) -> Certificate:
        """Returns a new certificate with the common name `name`. A negative `days` makes it expired."""
        number = next(self._numbers)
        base = self._directory / f"{number}"
        request, extensions = base.with_suffix(".csr"), base.with_suffix(".ext")
        certificate = Certificate(base.with_suffix(".pem"), base.with_suffix(".key"), number)
        extensions.write_text(f"subjectAltName={alternative_names}\n" if alternative_names else "")
        _openssl("req", *_KEY, "-keyout", certificate.key, "-out", request, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-set_serial", number,
                 "-days", days, "-extfile", extensions, "-out", certificate.certificate)
        return certificate

    def issue_for_server(self, days: int = 30) -> Certificate:
        """Returns a new certificate for a server on the loopback interface."""
        return self.issue("server", "DNS:localhost,IP:127.0.0.1", days)
