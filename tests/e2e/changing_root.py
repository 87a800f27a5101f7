# SPDX-License-Identifier: Apache-2.0
"""A root that changes while it is served, and the words for what happens to it."""

import os
import pathlib
from collections.abc import Callable

import numpy

import harness
import stock_client
from stock_client import pb
from tensor_files import TensorToWrite, write_safetensors

MIB = 1 << 20

# Nothing is found by time within a test.
BY_HINT = ("--scan-interval", "3600")


def replace(path: pathlib.Path, write: Callable[[pathlib.Path], object]) -> None:
    """Publishes a file as it should be done: `write` makes it beside its place, then it is renamed."""
    beside = path.with_name(f".{path.name}.new")
    write(beside)
    os.replace(beside, path)


def swap_link(link: pathlib.Path, target: str) -> None:
    """Points a link elsewhere in one step."""
    beside = link.with_name(f".{link.name}.new")
    beside.symlink_to(target)
    os.replace(beside, link)


def constant(version: int, size: int = 3 * MIB) -> list[TensorToWrite]:
    """A tensor every byte of which is the version."""
    return [TensorToWrite("t", "U8", (size,), bytes([version]) * size)]


class ChangingRootTest(harness.EndToEndTest):
    """Every test serves a root of its own."""

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

    def generation(self, model: str) -> str:
        return self.stub.GetMetadata(pb.GetMetadataRequest(model=model)).model.generation

    def fetch(self, model: str, tensor: str = "t", generation: str = "") -> bytes:
        request = pb.GetTensorRequest(model=model, read=pb.Read(tensor=tensor), generation=generation)
        return bytes(stock_client.read_stream(self.stub.GetTensor(request)).data[0])

    def write_and_wait(self, path: pathlib.Path, tensors: list[TensorToWrite], model: str) -> None:
        """Replaces a file and waits until the model has another generation."""
        before = self.generation(model)
        replace(path, lambda beside: write_safetensors(beside, tensors))
        harness.wait_until(lambda: self.generation(model) != before, f"another generation of {model}")
