# SPDX-License-Identifier: Apache-2.0
"""Runs the client of ten lines in proto/README.md as it is written there."""

import os
import pathlib
import re
import sys
import unittest

import numpy

import harness
from tensor_files import make_tensor, write_safetensors

README = pathlib.Path(harness.PROTO_DIR) / "README.md"


class ProtoReadmeTest(harness.EndToEndTest):
    """A directory in which a user follows the README."""

    def setUp(self) -> None:
        super().setUp()
        (self.directory / "proto").symlink_to(harness.PROTO_DIR)
        self.tensor = make_tensor("rows", "F32", (700, 1000), numpy.random.default_rng(harness.SEED))
        write_safetensors(self.directory / "root/m.safetensors", [self.tensor])
        # `python` in the README is one that has the packages.
        self.path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"

    def block(self, language: str) -> str:
        """Returns the README's only block of code in this language."""
        (block,) = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
        return block

    def run_here(self, *command: str) -> tuple[int, str, bytes]:
        result = harness.run_program(list(command), cwd=self.directory, env={"PATH": self.path})
        return result.returncode, result.stderr, result.stdout

    def test_client_fetches_a_tensor(self) -> None:
        self.assertEqual(self.run_here("sh", "-ec", self.block("sh")), (0, "", b""))
        code = self.block("python")
        self.assertEqual(sum(bool(line) for line in code.splitlines()), 10)
        (self.directory / "client.py").write_text(code)
        server = self.serve(self.directory / "root")
        self.assertEqual(self.run_here("python", "client.py", server.address, "m.safetensors", "rows", "x.raw"),
                         (0, "", b"F32 [700, 1000] 2800000 bytes\n"))
        self.assertTrue((self.directory / "x.raw").read_bytes() == self.tensor.data, "wrong bytes")

        code, stderr, _ = self.run_here("python", "client.py", server.address, "m.safetensors", "none", "y.raw")
        self.assertNotEqual(code, 0)
        self.assertIn("NOT_FOUND", stderr)
        self.assertFalse((self.directory / "y.raw").exists())


if __name__ == "__main__":
    unittest.main()
