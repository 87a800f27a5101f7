# SPDX-License-Identifier: Apache-2.0
"""The files that the benchmarks serve. They stay for the next run."""

import dataclasses
import json
import math
import os
import pathlib
import subprocess
from collections.abc import Iterable

import numpy

WIDTHS = {"U8": 1, "BF16": 2}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor to write. `offset` is its place in the file once it is written."""
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int = 0

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * WIDTHS[self.dtype]


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A file and its tensors, in the order of the file."""
    path: pathlib.Path
    tensors: list[Tensor]

    @property
    def size_bytes(self) -> int:
        return sum(tensor.size_bytes for tensor in self.tensors)


def write_model(path: pathlib.Path, tensors: Iterable[Tensor], *, sparse: bool = False) -> ModelFile:
    """Writes a safetensors file of random bytes, or a `sparse` one without data. Keeps an existing file of its size."""
    entries = {}
    position = 0
    for tensor in tensors:
        end = position + tensor.size_bytes
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the reference's padding
    header = len(text).to_bytes(8, "little") + text
    placed = [dataclasses.replace(tensor, offset=len(header) + entries[tensor.name]["data_offsets"][0])
              for tensor in tensors]
    if not path.exists() or path.stat().st_size != len(header) + position:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name("." + path.name)
        with open(part, "wb") as file:
            file.write(header)
            generator = numpy.random.default_rng(1)
            for begin in range(0, 0 if sparse else position, 1 << 24):
                file.write(generator.bytes(min(1 << 24, position - begin)))
            file.truncate(len(header) + position)
        part.rename(path)
    return ModelFile(path, placed)


def warm(path: pathlib.Path) -> None:
    """Brings a file into the page cache."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 22)
        while file.readinto(buffer):
            pass


def drop_from_cache(path: pathlib.Path) -> None:
    """Removes a file from the page cache. No process may have touched it through a mapping."""
    # In a virtual machine, free memory may be at the host, and its first use waits until the host returns it. Touching
    # memory here prevents that a contender is measured with this wait instead of the disk.
    numpy.ones(2 * path.stat().st_size, numpy.uint8)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    resident = int(subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", path], check=True,
                                  capture_output=True, text=True).stdout)
    if resident > path.stat().st_size // 100:
        raise RuntimeError(f"cannot drop {path} from the page cache: {resident} bytes stay")


def expert_tensors(count: int, size_bytes: int, first: int = 0) -> list[Tensor]:
    """Returns tensors with the names of a large mixture of experts, ordered by name like those of the reference."""
    def name(i: int) -> str:
        return f"model.layers.{i // 768}.mlp.experts.{i // 3 % 256}.{('gate', 'up', 'down')[i % 3]}_proj.weight"
    return [Tensor(text, "U8", (size_bytes,)) for text in sorted(map(name, range(first, first + count)))]


def mixed_tensors() -> list[Tensor]:
    """Returns 1,000 tensors of 2 GiB in total, from 8 KiB to 4 MiB, ten per layer as in a small transformer."""
    rows = [4, 4, 256, 256, 1024, 1024, 2048, 2048, 2048]  # of 2 KiB
    rows.append((2 << 30) // 100 // 2048 - sum(rows))
    tensors = [Tensor(f"model.layers.{layer}.part.{i}.weight", "BF16", (count, 1024))
               for layer in range(100) for i, count in enumerate(rows)]
    missing = (2 << 30) - sum(tensor.size_bytes for tensor in tensors)
    tensors[-1] = dataclasses.replace(tensors[-1], shape=(tensors[-1].shape[0] + missing // 2048, 1024))
    return tensors
