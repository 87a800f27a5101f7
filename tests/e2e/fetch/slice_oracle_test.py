# SPDX-License-Identifier: Apache-2.0
"""Random slices of all dtypes, fetched one by one and several per request, equal numpy's slices of the same bytes."""

import concurrent.futures
import dataclasses
import os
import random
import sys
import threading
import unittest
from collections import Counter

import grpc
import numpy
import safetensors

import harness
import stock_client
from slice_oracle import MAPPED_RUN_BYTES, Expected, Key, Refused, expect, random_key, random_shape
from stock_client import pb
from tensor_files import DTYPE_BITS, NUMPY_DTYPES, TensorToWrite, make_tensor, write_safetensors

# The number of slices to compare. TENSORFERRY_TEST_SLICES reduces it for slow programs.
SLICES = int(os.environ.get("TENSORFERRY_TEST_SLICES", "22000"))
SINGLES = SLICES * 4 // 22
TENSORS_PER_DTYPE = 12
THREADS = 4


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A read and its expected result."""
    tensor: TensorToWrite
    key: Key
    offset: int
    limit: int | None
    expected: Expected

    def __str__(self) -> str:
        return f"{self.tensor.dtype} {self.tensor.shape} {self.key} from {self.offset}, at most {self.limit}"

    def read(self) -> "pb.Read":
        """Returns the read as a proto."""
        return pb.Read(tensor=self.tensor.name, slice=stock_client.to_proto(self.key), read_offset=self.offset,
                       read_limit=self.limit)

    def part(self) -> bytes:
        """Returns the bytes that the read requests."""
        return self.expected.data[self.offset:][:self.limit]


class SliceOracleTest(harness.EndToEndTest):
    """One server with tensors of every dtype, and several client threads."""

    def setUp(self) -> None:
        super().setUp()
        source = harness.random_source("slice tensors")
        generator = numpy.random.default_rng(harness.SEED)
        self.tensors = [make_tensor(f"{dtype}.{i}", dtype, random_shape(dtype, source), generator)
                        for dtype in DTYPE_BITS for i in range(TENSORS_PER_DTYPE)]
        # Nothing is aligned: the data and each tensor begin at any byte.
        source.shuffle(self.tensors)
        path = self.directory / "model.safetensors"
        write_safetensors(path, self.tensors)
        self.assert_safetensors_library_reads(path)
        self.server = self.serve(self.directory)
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def assert_safetensors_library_reads(self, path) -> None:
        """Checks the oracle's bytes against those of the safetensors library."""
        read = dict(safetensors.deserialize(path.read_bytes()))
        self.assertEqual(len(read), len(self.tensors))
        for tensor in self.tensors:
            found = read[tensor.name]
            self.assertEqual((found["dtype"], tuple(found["shape"])), (tensor.dtype, tensor.shape))
            self.assertEqual(bytes(found["data"]), tensor.data)
            if tensor.dtype in NUMPY_DTYPES:
                self.assertEqual(tensor.array().tobytes(), tensor.data)

    def test_random_slices_equal_numpy(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(self.run_thread, number) for number in range(THREADS)]
            for job in jobs:
                job.result()
        counts = self.counts
        print(f"slices equal to numpy: {counts['equal']} ({counts['single']} by GetSlice, the rest in "
              f"{counts['plans']} plans), {counts['bytes']} bytes, {counts['resumed']} from an offset, "
              f"{counts['mapped']} with long runs; refused as numpy or the byte rule does: {counts['refused']}",
              file=sys.stderr)
        self.assertGreaterEqual(counts["equal"], SLICES)
        self.assertGreaterEqual(counts["single"], SINGLES)
        for kind in ("refused", "mapped", "resumed", *DTYPE_BITS):
            self.assertGreater(counts[kind], 0, kind)

    def run_thread(self, number: int) -> None:
        source = harness.random_source(f"slices {number}")
        stub = stock_client.connect(self.server.address)
        counts: Counter[str] = Counter()
        for _ in range(SINGLES // THREADS + 1):
            self.check_single(stub, self.random_read(stub, source, counts), counts)
        while counts["equal"] < SLICES // THREADS + 1:
            size = source.choice((1, 2, source.randint(3, 40), source.randint(41, 200)))
            self.check_plan(stub, [self.random_read(stub, source, counts) for _ in range(size)], counts)
        with self.lock:
            self.counts += counts

    def random_read(self, stub, source: random.Random, counts: Counter[str]) -> Wanted:
        """Returns a valid read. Requests the invalid ones that it generates on the way, which must be refused."""
        while True:
            tensor = source.choice(self.tensors)
            key = random_key(tensor, source)
            try:
                expected = expect(tensor, key)
            except Refused as refusal:
                # Many slices cut bytes: one in five is requested.
                if DTYPE_BITS[tensor.dtype] >= 8 or source.random() < 0.2:
                    self.check_refused(stub, tensor, key, str(refusal))
                    counts["refused"] += 1
                continue
            offset, limit = 0, None
            if source.random() < 0.3:
                offset = source.randint(0, len(expected.data))
                limit = source.choice((None, 0, source.randint(1, len(expected.data) + 9)))
                counts["resumed"] += 1
            return Wanted(tensor, key, offset, limit, expected)

    def check_refused(self, stub, tensor: TensorToWrite, key: Key, why: str) -> None:
        request = pb.GetSliceRequest(model=".", read=pb.Read(tensor=tensor.name, slice=stock_client.to_proto(key)))
        with self.assertRaises(grpc.RpcError, msg=f"{tensor.dtype} {tensor.shape} {key}: {why}") as raised:
            stock_client.read_stream(stub.GetSlice(request))
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn(f'"{tensor.name}"', raised.exception.details())
        if len(key) <= len(tensor.shape):
            self.assertIn("dimension", raised.exception.details())

    def check_single(self, stub, wanted: Wanted, counts: Counter[str]) -> None:
        request = pb.GetSliceRequest(model=".", read=wanted.read())
        stream = stock_client.read_stream(stub.GetSlice(request), [wanted.offset])
        self.check_result(stream, 0, wanted, counts)
        counts["single"] += 1

    def check_plan(self, stub, reads: list[Wanted], counts: Counter[str]) -> None:
        request = pb.GetTensorsRequest(model=".", reads=[wanted.read() for wanted in reads])
        stream = stock_client.read_stream(stub.GetTensors(request), [wanted.offset for wanted in reads])
        for index, wanted in enumerate(reads):
            self.check_result(stream, index, wanted, counts)
        counts["plans"] += 1

    def check_result(self, stream: stock_client.Stream, index: int, wanted: Wanted, counts: Counter[str]) -> None:
        result = stream.results[index]
        self.assertEqual((result.name, result.dtype), (wanted.tensor.name, wanted.tensor.dtype))
        self.assertEqual(tuple(result.shape), wanted.expected.shape, wanted)
        self.assertEqual(result.size_bytes, len(wanted.expected.data), wanted)
        self.assertTrue(stream.data[index] == wanted.part(), f"wrong bytes: {wanted}")
        counts["equal"] += 1
        counts["bytes"] += len(wanted.part())
        counts[wanted.tensor.dtype] += 1
        row = wanted.expected.shape[-1:] and wanted.expected.shape[-1] * DTYPE_BITS[wanted.tensor.dtype] // 8
        counts["mapped"] += bool(row) and row >= MAPPED_RUN_BYTES


if __name__ == "__main__":
    unittest.main()
