# SPDX-License-Identifier: Apache-2.0
"""Tests that tensorferryd and tensorferry accept every setting of the manifests."""

import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
import manifests  # noqa: E402
from pod_security import containers_of  # noqa: E402
from tls_fixture import TlsFixture  # noqa: E402


def variables_of(*command: str) -> set[str]:
    """Returns the environment variables in the help of a program."""
    help_text = harness.run_program([str(harness.BIN_DIR / command[0]), *command[1:], "--help"]).stdout.decode()
    named = set(re.findall(r"\(Env:(\w+)\)", help_text))
    # The server's variables have the names of its flags.
    flags = re.findall(r"^  --([a-z-]+)", help_text, re.MULTILINE)
    return named | {f"{command[0]}_{flag.replace('-', '_')}".upper() for flag in flags}


class SettingsTest(TlsFixture):

    def here(self, value: str) -> str:
        """Returns a value, with this test's path for a path of the container."""
        files = {"/models": self.root, "/tls/tls.crt": self.server_certificate.certificate,
                 "/tls/tls.key": self.server_certificate.key, "/tls/ca.crt": self.authority.certificate}
        return str(files.get(value, value))

    def test_server_accepts_the_settings_of_every_overlay(self) -> None:
        known = variables_of("tensorferryd")
        for name in manifests.kustomizations():
            with self.subTest(name):
                settings = manifests.environment(manifests.pod_of(manifests.server(name))["containers"][0])
                self.assertLessEqual(settings.keys(), known)
                result = subprocess.run([harness.BIN_DIR / "tensorferryd", "--check-config"], capture_output=True,
                                        env={name: self.here(value) for name, value in settings.items()}, check=False)
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_client_knows_the_settings_of_every_example(self) -> None:
        known = variables_of("tensorferry", "pull")
        for name in manifests.examples():
            for workload in manifests.workloads(name):
                for container in containers_of(manifests.pod_of(workload)):
                    self.assertLessEqual(manifests.environment(container).keys(), known, name)


if __name__ == "__main__":
    unittest.main()
