# SPDX-License-Identifier: Apache-2.0
"""Tests that systemd accepts the unit and rates its exposure as low."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

UNIT = harness.REPOSITORY / "deploy/systemd/tensorferryd.service"
# The highest exposure, in tenths. 100 is a service without any protection. The rest is the network, which it needs.
EXPOSURE_MAX = 15


class SystemdTest(unittest.TestCase):

    def setUp(self) -> None:
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed (Debian's package systemd)")
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.unit = directory / UNIT.name
        # systemd-analyze verifies that the program exists.
        program = str(harness.BIN_DIR / "tensorferryd")
        self.unit.write_text(UNIT.read_text().replace("/usr/local/bin/tensorferryd", program))

    def analyze(self, *args: object) -> None:
        result = subprocess.run(["systemd-analyze", *map(str, args), self.unit], capture_output=True, text=True,
                                check=False)
        said = result.stderr + (result.stdout if result.returncode else "")
        self.assertEqual((result.returncode, said), (0, ""))

    def test_unit_is_valid(self) -> None:
        self.analyze("verify", "--man=no")

    def test_unit_is_hardened(self) -> None:
        self.analyze("security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE_MAX}")

    def test_there_is_time_to_drain(self) -> None:
        text = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--help"]).stdout.decode()
        seconds = [int(re.search(rf"{flag} SECONDS  \(default (\d+)\)", text)[1]) for flag in ("--lame-duck", "--drain-timeout")]
        self.assertIn(f"\nTimeoutStopSec={sum(seconds) + 10}\n", UNIT.read_text())


if __name__ == "__main__":
    unittest.main()
