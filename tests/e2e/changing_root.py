# SPDX-License-Identifier: Apache-2.0
"""Fixture for tests that change a root while it is served."""

import os
import pathlib
from collections.abc import Callable

import numpy

import harness
import stock_client
from metrics_text import scrape, total
from stock_client import pb
from tensor_files import TensorToWrite, write_safetensors

MIB = 1 << 20

# A scan interval that is longer than any test: only change notifications trigger scans.
BY_HINT = ("--scan-interval", "3600")

ADMIN = ("--admin-listen", "127.0.0.1:0")


def replace(path: pathlib.Path, write: Callable[[pathlib.Path], object]) -> None:
    """Replaces a file atomically: `write` creates it next to `path`, then it is renamed."""
    temporary = path.with_name(f".{path.name}.new")
    write(temporary)
    os.replace(temporary, path)


def swap_link(link: pathlib.Path, target: str) -> None:
    """Changes the target of a link atomically."""
    temporary = link.with_name(f".{link.name}.new")
    temporary.symlink_to(target)
    os.replace(temporary, link)


def constant(version: int, size: int = 3 * MIB) -> list[TensorToWrite]:
    """Returns a tensor "t" of `size` bytes that are all equal to `version`."""
    return [TensorToWrite("t", "U8", (size,), bytes([version]) * size)]


class ChangingRootTest(harness.EndToEndTest):
    """Serves a new root in each test."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.root.mkdir()
        self.generator = numpy.random.default_rng(harness.SEED)

    def start(self, *options: str) -> harness.Server:
        self.server = self.serve(self.root, *options)
        self.stub = stock_client.connect(self.server.address)
        return self.server

    def models(self) -> dict[str, "pb.Model"]:
        return {model.name: model for model in self.stub.ListModels(pb.ListModelsRequest()).models}

    def wait_for_models(self, *names: str) -> None:
        harness.wait_until(lambda: set(self.models()) == set(names), f"the models to be {names}, not {self.models()}")

    def scans(self) -> float:
        """Returns the number of scans that have ended. The server must run with ADMIN."""
        return total(scrape(self.server), "tensorferry_scans_total")

    def wait_for_scans(self, count: int) -> None:
        """Waits until `count` scans have begun and ended."""
        wanted = self.scans() + count + 1  # one may be running now
        harness.wait_until(lambda: self.scans() >= wanted, f"{count} scans")

    def generation(self, model: str) -> str:
        return self.stub.GetMetadata(pb.GetMetadataRequest(model=model)).model.generation

    def fetch(self, model: str, tensor: str = "t", generation: str = "") -> bytes:
        request = pb.GetTensorRequest(model=model, read=pb.Read(tensor=tensor), generation=generation)
        return bytes(stock_client.read_stream(self.stub.GetTensor(request)).data[0])

    def write_and_wait(self, path: pathlib.Path, tensors: list[TensorToWrite], model: str) -> None:
        """Replaces a file, and waits until the model has a new generation."""
        before = self.generation(model)
        replace(path, lambda temporary: write_safetensors(temporary, tensors))
        harness.wait_until(lambda: self.generation(model) != before, f"a new generation of {model}")
