# SPDX-License-Identifier: Apache-2.0
"""A client that stock grpcio generates from our proto, and checks of the contract for every stream."""

import atexit
import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Iterable

import grpc
from grpc_tools import protoc

import harness

_generated = tempfile.TemporaryDirectory(prefix="tensorferry-stubs-")
atexit.register(_generated.cleanup)
_includes = [f"-I{harness.PROTO_DIR}", f"-I{pathlib.Path(protoc.__file__).parent / '_proto'}"]
if protoc.main(["protoc", *_includes, f"--python_out={_generated.name}", f"--grpc_python_out={_generated.name}",
                str(harness.PROTO_DIR / "tensorferry/v1/tensor_service.proto")]) != 0:
    raise RuntimeError("cannot generate the stubs")
sys.path.insert(0, _generated.name)

# pylint: disable=wrong-import-position
from tensorferry.v1 import tensor_service_pb2 as pb  # noqa: E402
from tensorferry.v1 import tensor_service_pb2_grpc as pb_grpc  # noqa: E402

__all__ = ["Stream", "connect", "crc32c", "pb", "pb_grpc", "read_stream", "to_proto"]

MAX_MESSAGE_BYTES = 4 << 20


def connect(address: str, *options: tuple[str, int]) -> pb_grpc.TensorServiceStub:
    """Returns a stub on a new connection, with no other options than these."""
    options = [("grpc.use_local_subchannel_pool", 1), *options]
    return pb_grpc.TensorServiceStub(grpc.insecure_channel(address, options))


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of RFC 3720, computed byte by byte."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def to_proto(key: Iterable[int | slice]) -> "pb.Slice":
    """Returns the slice that is equivalent to numpy's array[key]."""
    dimensions = []
    for entry in key:
        if isinstance(entry, slice):
            bounds = {"start": entry.start, "stop": entry.stop, "step": entry.step}
            chosen = {name: value for name, value in bounds.items() if value is not None}
            dimensions.append(pb.DimensionSlice(range=pb.Range(**chosen)))
        else:
            dimensions.append(pb.DimensionSlice(index=entry))
    return pb.Slice(dimensions=dimensions)


@dataclasses.dataclass
class Stream:
    """The contents of a stream: `data` has the bytes of each read from its read_offset, `confirmed` has every
    confirmed_size_bytes in order."""
    header: "pb.StreamHeader"
    results: list["pb.ReadResult"]
    data: list[bytearray]
    message_count: int
    data_message_count: int
    confirmed: list[int]


def read_stream(messages: Iterable, begins: list[int] | None = None, check_crc: bool = False) -> Stream:
    """Reads a stream to its end, and checks the rules of tensor_service.proto for its messages.

    `begins` are the read_offsets of the reads, 0 by default. Fails with AssertionError.
    """
    header = None
    results: list[pb.ReadResult] = []
    data: list[bytearray] = []
    confirmed: list[int] = []
    received = 0
    count = 0
    with_data = 0
    for message in messages:
        chunk = message.chunk
        assert message.ByteSize() < MAX_MESSAGE_BYTES, f"message {count} has {message.ByteSize()} bytes"
        # Checked before anything else in the chunk is trusted.
        assert chunk.HasField("crc32c") or not chunk.segments, f"message {count} has no checksum"
        if check_crc and chunk.HasField("crc32c"):
            expected = crc32c(chunk.data)
            assert chunk.crc32c == expected, f"message {count}: crc32c {chunk.crc32c}, not {expected}"
        assert chunk.HasField("header") == (count == 0), f"message {count}: the header is in the first message"
        if header is None:
            header = chunk.header
            begins = begins or [0] * header.read_count
            assert len(begins) == header.read_count, f"{header.read_count} reads announced, {len(begins)} asked for"
        count += 1
        with_data += bool(chunk.data)
        results.extend(chunk.results)
        data.extend(bytearray() for _ in chunk.results)
        if chunk.segments:
            assert len(results) == header.read_count, "data came before all results were announced"
        position = 0
        for segment in chunk.segments:
            read = segment.read_index
            assert 0 <= read < header.read_count and segment.size_bytes >= 1, f"segment {segment}"
            assert segment.result_offset == begins[read] + len(data[read]), f"segment out of order: {segment}"
            data[read] += chunk.data[position:position + segment.size_bytes]
            position += segment.size_bytes
            assert begins[read] + len(data[read]) <= results[read].size_bytes, f"too much for read {read}"
        assert position == len(chunk.data), "the segments do not add up to the data"
        received += position
        if chunk.HasField("confirmed_size_bytes"):
            confirmed.append(chunk.confirmed_size_bytes)
            assert confirmed == sorted(confirmed), f"message {count} confirms less than one before: {confirmed}"
            assert 0 <= confirmed[-1] <= received, f"message {count} confirms {confirmed[-1]} of {received} bytes"
    assert header is not None, "a stream without a message"
    assert len(results) == header.read_count, f"{header.read_count} reads announced, {len(results)} results came"
    assert received == header.size_bytes, f"{header.size_bytes} bytes announced, {received} came"
    return Stream(header, results, data, count, with_data, confirmed)
