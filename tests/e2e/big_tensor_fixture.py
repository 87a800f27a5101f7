# SPDX-License-Identifier: Apache-2.0
"""Fixture for tests that stop and replace servers: a root with one large tensor, and a fetch that must succeed."""

import itertools
import os
from collections.abc import Iterable

import numpy

import harness
from tensor_files import write_big_file


class BigTensorFixture(harness.EndToEndTest):
    """A model m.safetensors with one tensor "t" of `TENSOR_BYTES`."""

    TENSOR_BYTES = 16 << 20

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        write_big_file(self.root / "m.safetensors", "t", self.TENSOR_BYTES, numpy.random.default_rng(harness.SEED))
        with open(self.root / "m.safetensors", "rb") as file:
            file.seek(-self.TENSOR_BYTES, os.SEEK_END)
            self.data = file.read()
        self._fetches = itertools.count()

    def fetch(self, addresses: Iterable[str], *flags: str) -> None:
        """Fetches the tensor with `tensorferry get`, and checks its bytes. Safe to call from several threads."""
        output = self.directory / f"fetched-{next(self._fetches)}.raw"
        result = self.run_cli("get", "m.safetensors", "t", "-o", output, "--server", ",".join(addresses), *flags)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(output.read_bytes() == self.data, "wrong bytes")
        output.unlink()
