# SPDX-License-Identifier: Apache-2.0
"""Writes safetensors files with every dtype, also dtypes that the Python library cannot write."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy

# Every dtype, and the bits of one element.
DTYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}

# The dtypes that NumPy has.
NUMPY_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "I32": "<i4", "U32": "<u4",
    "F32": "<f4", "C64": "<c8", "F64": "<f8", "I64": "<i8", "U64": "<u8",
}


@dataclasses.dataclass(frozen=True)
class TensorToWrite:
    """A tensor and its bytes."""
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def array(self) -> numpy.ndarray:
        """Returns the tensor as an array. NumPy must have its dtype."""
        return numpy.frombuffer(self.data, NUMPY_DTYPES[self.dtype]).reshape(self.shape)


def make_tensor(name: str, dtype: str, shape: Iterable[int], generator: numpy.random.Generator) -> TensorToWrite:
    """Returns a tensor of random bytes. The bytes of BOOL are 0 and 1."""
    shape = tuple(shape)
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if bits % 8:
        raise ValueError(f"{dtype} {shape} does not fill whole bytes")
    data = generator.bytes(bits // 8)
    if dtype == "BOOL":
        data = bytes(byte & 1 for byte in data)
    return TensorToWrite(name, dtype, shape, data)


def header_bytes(tensors: Iterable[TensorToWrite], metadata: Mapping[str, str] | None = None) -> bytes:
    """Returns the bytes before the data: the length and the header."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for tensor in tensors:
        end = position + len(tensor.data)
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


def write_safetensors(path: pathlib.Path, tensors: Iterable[TensorToWrite],
                      metadata: Mapping[str, str] | None = None) -> None:
    """Writes a file with the tensors in this order."""
    tensors = list(tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(header_bytes(tensors, metadata))
        for tensor in tensors:
            file.write(tensor.data)


def write_index(path: pathlib.Path, weight_map: Mapping[str, object]) -> None:
    """Writes a `*.safetensors.index.json` file."""
    path.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": dict(weight_map)}))


def one_tensor_header(name: str, size_bytes: int) -> bytes:
    """Returns the bytes before the data of a file with one U8 tensor."""
    text = json.dumps({name: {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}).encode()
    return len(text).to_bytes(8, "little") + text


def write_big_file(path: pathlib.Path, name: str, size_bytes: int, generator: numpy.random.Generator) -> None:
    """Writes a file with one U8 tensor of whole MiB, which all differ, without holding it in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = numpy.frombuffer(generator.bytes(1 << 20), "<u8")
    with open(path, "wb") as file:
        file.write(one_tensor_header(name, size_bytes))
        for number in range(size_bytes >> 20):
            file.write(block + numpy.uint64(number))


def write_sparse_file(path: pathlib.Path, name: str, size_bytes: int) -> None:
    """Writes a sparse file with one U8 tensor of zeros."""
    header = one_tensor_header(name, size_bytes)
    path.write_bytes(header)
    os.truncate(path, len(header) + size_bytes)


def data_offset(path: pathlib.Path) -> int:
    """Returns the offset of the data in a file."""
    with open(path, "rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")
