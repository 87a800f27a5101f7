# SPDX-License-Identifier: Apache-2.0
"""Random tensors, random slices, and the results of the slices by numpy."""

import dataclasses
import math
import random

import numpy

from tensor_files import DTYPE_BITS, TensorToWrite

Key = tuple[int | slice, ...]

# The server sends runs of at least 8 KiB from the mapping, and gathers shorter ones.
MAPPED_RUN_BYTES = 8 << 10
MAX_TENSOR_BYTES = 100 << 10


@dataclasses.dataclass(frozen=True)
class Expected:
    """The expected result of a slice."""
    shape: tuple[int, ...]
    data: bytes


class Refused(Exception):
    """The slice does not exist."""


def expect(tensor: TensorToWrite, key: Key) -> Expected:
    """Returns numpy's tensor[key]. Raises Refused if numpy or the protocol has no such slice."""
    if any(isinstance(entry, slice) and entry.step is not None and entry.step < 1 for entry in key):
        raise Refused("steps are positive")
    bits = DTYPE_BITS[tensor.dtype]
    try:
        if bits < 8:
            elements = numpy.arange(math.prod(tensor.shape)).reshape(tensor.shape)[key]
            return Expected(elements.shape, _whole_bytes(tensor.data, numpy.ravel(elements), bits))
        result = numpy.frombuffer(tensor.data, f"<u{bits // 8}").reshape(tensor.shape)[key]
        return Expected(result.shape, result.tobytes())
    except IndexError as error:
        raise Refused(str(error)) from error


def _whole_bytes(data: bytes, elements: numpy.ndarray, bits: int) -> bytes:
    """Concatenates the bits of the elements. Raises Refused unless each byte of the result is one byte of the data."""
    positions = (elements[:, numpy.newaxis] * bits + numpy.arange(bits)).ravel()
    if positions.size % 8:
        raise Refused("it ends inside a byte")
    of_bytes = positions.reshape(-1, 8)
    if not ((of_bytes[:, :1] % 8 == 0) & (of_bytes == of_bytes[:, :1] + numpy.arange(8))).all():
        raise Refused("it cuts a byte")
    return numpy.frombuffer(data, "u1")[of_bytes[:, 0] // 8].tobytes()


def random_shape(dtype: str, source: random.Random) -> tuple[int, ...]:
    """Returns a shape of rank 0 to 5 and at most MAX_TENSOR_BYTES. A few have a zero, or rows that are mapped."""
    bits = DTYPE_BITS[dtype]
    while True:
        rank = source.randint(0, 5)
        left = source.choice((64, 4096, MAX_TENSOR_BYTES, MAX_TENSOR_BYTES)) * 8 // bits
        shape = []
        for _ in range(rank):
            size = 0 if source.random() < 0.03 else min(max(left, 1), round(2 ** source.uniform(0, 9)))
            shape.append(size)
            left //= max(size, 1)
        if shape and source.random() < 0.4:
            # Long rows, in a few dimensions.
            row = (MAPPED_RUN_BYTES + source.randrange(MAPPED_RUN_BYTES)) * 8 // bits
            shape = [source.randint(1, 3), source.randint(1, 2), row][-min(rank, 3):]
        else:
            source.shuffle(shape)
        if bits < 8 and shape and source.random() < 0.9:
            # Rows that fill whole bytes: others have few valid slices.
            shape[-1] = -(-shape[-1] // 4) * 4
        if math.prod(shape) * bits % 8 == 0 and math.prod(shape) * bits <= MAX_TENSOR_BYTES * 8:
            return tuple(shape)


def random_key(tensor: TensorToWrite, source: random.Random) -> Key:
    """Returns a slice, mostly valid: negative, open and distant bounds, indexes, steps, missing entries."""
    rank = len(tensor.shape)
    entries = rank if source.random() < 0.7 else source.randint(0, rank)
    if source.random() < 0.008:
        entries = rank + 1
    # Four elements of a dtype narrower than a byte fill whole bytes.
    narrow = DTYPE_BITS[tensor.dtype] < 8
    return tuple(_random_entry(tensor.shape[d] if d < rank else 1, source, narrow and d == rank - 1)
                 for d in range(entries))


def _random_entry(size: int, source: random.Random, in_fours: bool) -> int | slice:
    in_fours = in_fours and source.random() < 0.8
    kind = source.random()
    if kind < 0.25 and not in_fours and size > 0:
        return source.randrange(-size, size)
    if kind > 0.995:
        return source.choice((size, -size - 1, 2**63 - 1, -(2**63)))
    if kind < 0.45:
        return slice(None)
    bounds: list[int | None] = []
    for _ in range(2):
        value = source.choice((source.randint(-size - 3, size + 3), source.randint(0, size), size // 2))
        if in_fours:
            value = value // 4 * 4
        bounds.append(None if source.random() < 0.15 else value)
    if source.random() < 0.01:
        bounds[source.randrange(2)] = source.choice((2**63 - 1, -(2**63)))
    if source.random() < 0.6 and None not in bounds and min(bounds) >= 0:
        bounds.sort()
    step = None if in_fours or source.random() < 0.5 else source.choice((1, 2, 3, source.randint(1, size + 2)))
    if source.random() < 0.006:
        step = source.choice((0, -1, 2**63 - 1, -(2**63)))
    return slice(bounds[0], bounds[1], step)
