# SPDX-License-Identifier: Apache-2.0
"""A stock gRPC client without options gets correct tensors, slices and files, in chunks as the proto specifies."""

import pathlib
import shutil
import tempfile
import unittest

import grpc
import numpy
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import harness
import stock_client
from stock_client import crc32c, pb, pb_grpc, read_stream, to_proto
from tensor_files import TensorToWrite, make_tensor, write_big_file, write_safetensors

DEFAULT_CHUNK_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
CONFIRMED_EVERY_BYTES = 16 << 20


class StockClientTest(harness.EndToEndTest):
    """A model with tensors of several MiB, of a few bytes and of none."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.source = harness.random_source("stock client")
        generator = numpy.random.default_rng(harness.SEED)
        shapes = {"big": (3, 1000, 333), "rows": (64, 5000), "small": (5,), "scalar": (), "none": (0, 4)}
        cls.tensors = {name: make_tensor(name, "F32", shape, generator) for name, shape in shapes.items()}
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="tensorferry-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.path = cls.root / "model/weights.safetensors"
        write_safetensors(cls.path, cls.tensors.values())
        cls.server = harness.Server(cls.root)
        cls.addClassCleanup(cls.server.stop)
        cls.stub = stock_client.connect(cls.server.address)

    def assert_is(self, stream: stock_client.Stream, tensor: TensorToWrite, index: int = 0) -> None:
        result = stream.results[index]
        self.assertEqual((result.name, result.dtype, tuple(result.shape)), (tensor.name, tensor.dtype, tensor.shape))
        self.assertTrue(stream.data[index] == tensor.data, f"{tensor.name} has wrong bytes")

    def test_ten_lines_fetch_a_tensor(self) -> None:
        channel = grpc.insecure_channel(self.server.address)
        stub = pb_grpc.TensorServiceStub(channel)
        stream = stub.GetTensor(pb.GetTensorRequest(model="model", read=pb.Read(tensor="big")))
        result, data = None, b""
        for message in stream:
            result = result or message.chunk.results[0]
            data += message.chunk.data
        array = numpy.frombuffer(data, "<f4").reshape(result.shape)
        self.assertEqual(array.tobytes(), self.tensors["big"].array().tobytes())
        self.assertEqual(array.shape, (3, 1000, 333))

    def test_every_tensor_and_its_checksums_are_right(self) -> None:
        for name, tensor in self.tensors.items():
            request = pb.GetTensorRequest(model="model", read=pb.Read(tensor=name))
            stream = read_stream(self.stub.GetTensor(request), check_crc=True)
            self.assert_is(stream, tensor)
            # The first chunk may be shorter, so that the others are whole blocks of the file.
            self.assertLessEqual(stream.data_message_count, len(tensor.data) // DEFAULT_CHUNK_BYTES + 2)

    def test_slices_of_short_and_of_long_runs_have_right_checksums(self) -> None:
        for name, key in (("big", (slice(None), slice(1, None, 3), slice(7, 9))), ("rows", (slice(3, 40, 2),)),
                          ("rows", (slice(None), -1)), ("scalar", ()), ("none", (slice(None), 2))):
            request = pb.GetSliceRequest(model="model", read=pb.Read(tensor=name, slice=to_proto(key)))
            stream = read_stream(self.stub.GetSlice(request), check_crc=True)
            expected = numpy.asarray(self.tensors[name].array()[key])
            self.assertEqual(tuple(stream.results[0].shape), expected.shape)
            self.assertTrue(stream.data[0] == expected.tobytes(), f"{name}{key} has wrong bytes")

    def test_plan_answers_each_read_also_the_same_twice(self) -> None:
        names = [*self.tensors, "small", "big"]
        self.source.shuffle(names)
        request = pb.GetTensorsRequest(model="model", reads=[pb.Read(tensor=name) for name in names])
        stream = read_stream(self.stub.GetTensors(request), check_crc=True)
        for index, name in enumerate(names):
            self.assert_is(stream, self.tensors[name], index)

    def test_plan_of_nothing_is_a_header(self) -> None:
        stream = read_stream(self.stub.GetTensors(pb.GetTensorsRequest(model="model")))
        self.assertEqual((stream.header.read_count, stream.message_count), (0, 1))

    def test_plan_of_ten_thousand_reads_announces_all_before_data(self) -> None:
        rows = [self.source.randrange(64) for _ in range(10_000)]
        request = pb.GetTensorsRequest(model="model", reads=[
            pb.Read(tensor="rows", slice=to_proto([row, slice(row, row + 3)])) for row in rows])
        stream = read_stream(self.stub.GetTensors(request))
        array = self.tensors["rows"].array()
        for index, row in enumerate(rows):
            self.assertEqual(stream.data[index], array[row, row:row + 3].tobytes())

    def test_get_file_gives_the_file(self) -> None:
        stream = read_stream(self.stub.GetFile(pb.GetFileRequest(model="model", file="weights.safetensors")),
                             check_crc=True)
        self.assertTrue(stream.data[0] == self.path.read_bytes(), "the file has wrong bytes")
        metadata = self.stub.GetMetadata(pb.GetMetadataRequest(model="model"))
        self.assertTrue(stream.header.digest)
        self.assertEqual(stream.header.digest, metadata.files[0].digest)
        self.assertEqual(stream.header.generation, metadata.model.generation)

    def test_any_offset_and_limit_give_that_part(self) -> None:
        key = (slice(None), slice(0, 900, 2))
        sliced = numpy.ascontiguousarray(self.tensors["big"].array()[key]).tobytes()
        wholes = {"GetTensor": self.tensors["big"].data, "GetSlice": sliced, "GetFile": self.path.read_bytes()}
        for turn in range(60):
            for rpc, whole in wholes.items():
                offset = self.source.choice((0, 1, len(whole) - 1, len(whole), self.source.randrange(len(whole))))
                # No limit is everything to the end, 0 is nothing.
                limit = self.source.choice(
                    (None, 0, 1, 8192, len(whole), 2**63 - 1, self.source.randint(1, len(whole))))
                part = {"read_offset": offset, "read_limit": limit}
                if rpc == "GetTensor":
                    messages = self.stub.GetTensor(
                        pb.GetTensorRequest(model="model", read=pb.Read(tensor="big", **part)))
                elif rpc == "GetSlice":
                    messages = self.stub.GetSlice(
                        pb.GetSliceRequest(model="model", read=pb.Read(tensor="big", slice=to_proto(key), **part)))
                else:
                    messages = self.stub.GetFile(pb.GetFileRequest(model="model", file="weights.safetensors", **part))
                stream = read_stream(messages, [offset], check_crc=turn == 0)
                self.assertEqual(stream.results[0].size_bytes, len(whole))
                self.assertTrue(stream.data[0] == whole[offset:][:limit],
                                f"{rpc} from {offset}, at most {limit}: wrong bytes")

    def test_limit_of_zero_returns_only_the_description(self) -> None:
        read = pb.Read(tensor="big", slice=to_proto((0, slice(None, None, 2))), read_limit=0)
        stream = read_stream(self.stub.GetSlice(pb.GetSliceRequest(model="model", read=read)))
        self.assertEqual((tuple(stream.results[0].shape), stream.results[0].size_bytes), ((500, 333), 500 * 333 * 4))
        self.assertEqual((stream.header.size_bytes, stream.data), (0, [b""]))
        reads = [read, pb.Read(tensor="small"), pb.Read(tensor="rows", read_limit=0)]
        stream = read_stream(self.stub.GetTensors(pb.GetTensorsRequest(model="model", reads=reads)))
        self.assertEqual([result.size_bytes for result in stream.results], [500 * 333 * 4, 20, 64 * 5000 * 4])
        self.assertEqual(stream.data, [b"", self.tensors["small"].data, b""])

    def test_confirmed_sizes_follow_the_data_to_its_end(self) -> None:
        size = 40 << 20
        path = self.directory / "big.safetensors"
        write_big_file(path, "big", size, numpy.random.default_rng(harness.SEED))
        for io in ("mmap", "pread"):
            stub = stock_client.connect(self.serve(self.directory, f"--io={io}").address)
            model = {"model": path.name}
            streams = {
                "GetTensor": (stub.GetTensor(pb.GetTensorRequest(read=pb.Read(tensor="big"), **model)), 0),
                "GetFile": (stub.GetFile(pb.GetFileRequest(file=path.name, **model)), 0),
                "rows": (stub.GetSlice(pb.GetSliceRequest(
                    read=pb.Read(tensor="big", slice=to_proto((slice(None, None, 2),))), **model)), 0),
                "part": (stub.GetTensor(pb.GetTensorRequest(
                    read=pb.Read(tensor="big", read_offset=size - 9, read_limit=5), **model)), size - 9),
            }
            for name, (messages, begin) in streams.items():
                # read_stream checks that no value exceeds the bytes sent before, and that values never decrease.
                stream = read_stream(messages, [begin])
                with self.subTest(name, io=io, confirmed=stream.confirmed):
                    self.assertEqual(stream.confirmed[-1:], [stream.header.size_bytes])
                    for before, after in zip([0, *stream.confirmed], stream.confirmed):
                        self.assertLessEqual(after - before, CONFIRMED_EVERY_BYTES)

    def test_checksums_of_a_file_are_those_of_its_blocks(self) -> None:
        whole = self.path.read_bytes()
        request = pb.GetFileRequest(model="model", file="weights.safetensors", checksums_only=True)
        chunks = [message.chunk for message in self.stub.GetFile(request)]
        self.assertEqual([chunk.data for chunk in chunks], [b""] * len(chunks))
        blocks = [chunk for chunk in chunks if chunk.segments]
        begins = range(0, len(whole), BLOCK_BYTES)
        self.assertEqual(
            [[(segment.result_offset, segment.size_bytes) for segment in block.segments] for block in blocks],
            [[(begin, len(whole[begin:][:BLOCK_BYTES]))] for begin in begins])
        self.assertEqual([block.crc32c for block in blocks], [crc32c(whole[begin:][:BLOCK_BYTES]) for begin in begins])

    def test_checksums_of_a_plan_are_those_of_its_data(self) -> None:
        key = (slice(None), slice(3, 900, 2))
        reads = [pb.Read(tensor="small"), pb.Read(tensor="big", slice=to_proto(key)), pb.Read(tensor="none"),
                 pb.Read(tensor="rows", read_offset=5, read_limit=7), pb.Read(tensor="big")]
        request = pb.GetTensorsRequest(model="model", reads=reads, checksums_only=True)
        expected = [self.tensors["small"].data, self.tensors["big"].array()[key].tobytes(), b"",
                    self.tensors["rows"].data, self.tensors["big"].data]
        chunks = [message.chunk for message in self.stub.GetTensors(request)]
        segments = []
        for chunk in chunks:
            self.assertEqual(chunk.data, b"")
            covered = b"".join(expected[segment.read_index][segment.result_offset:][:segment.size_bytes]
                               for segment in chunk.segments)
            if chunk.segments:
                self.assertTrue(chunk.HasField("crc32c"))
                self.assertEqual(chunk.crc32c, crc32c(covered))
            segments += chunk.segments
        # Exactly the requested bytes of each read, with all segments of a read in a row.
        next_offsets = [0, 0, 0, 5, 0]
        order = []
        for segment in segments:
            self.assertEqual(segment.result_offset, next_offsets[segment.read_index])
            next_offsets[segment.read_index] += segment.size_bytes
            if order[-1:] != [segment.read_index]:
                order.append(segment.read_index)
        self.assertEqual(next_offsets, [20, len(expected[1]), 0, 12, len(expected[4])])
        self.assertEqual(sorted(order), [0, 1, 3, 4])

    def test_streams_of_one_opening_have_one_instance(self) -> None:
        def instances(server: harness.Server) -> set[str]:
            stub = stock_client.connect(server.address)
            requests = ((stub.GetTensor, pb.GetTensorRequest(model="model", read=pb.Read(tensor="small"))),
                        (stub.GetTensors, pb.GetTensorsRequest(model="model", reads=[pb.Read(tensor="rows")])),
                        (stub.GetFile, pb.GetFileRequest(model="model", file="weights.safetensors", read_limit=0)))
            return {read_stream(call(request)).header.instance for call, request in requests for _ in range(2)}

        own = instances(self.server)
        # One instance for the model's files together, and one for the single file.
        self.assertEqual(len(own), 2, own)
        self.assertNotIn("", own)
        self.assertTrue(own.isdisjoint(instances(self.serve(self.root))))

    def test_messages_stay_below_four_mebibytes_at_the_largest_chunk(self) -> None:
        server = self.serve(self.root, "--chunk-bytes", str(3 << 20))
        stub = stock_client.connect(server.address)
        # As many results and segments in a message as possible.
        reads = [pb.Read(tensor="rows", slice=to_proto([i % 64, slice(i % 4990, i % 4990 + 10)]))
                 for i in range(70_000)]
        stream = read_stream(stub.GetTensors(pb.GetTensorsRequest(model="model", reads=reads)))
        array = self.tensors["rows"].array()
        for i in range(0, 70_000, 997):
            self.assertEqual(stream.data[i], array[i % 64, i % 4990:i % 4990 + 10].tobytes())
        self.assert_is(read_stream(stub.GetTensor(pb.GetTensorRequest(model="model", read=pb.Read(tensor="big")))),
                       self.tensors["big"])

    def test_answers_have_one_generation_which_can_be_required(self) -> None:
        generation = self.stub.GetMetadata(pb.GetMetadataRequest(model="model")).model.generation
        self.assertTrue(generation)
        listed = self.stub.ListTensors(pb.ListTensorsRequest(model="model", generation=generation))
        self.assertEqual(listed.generation, generation)
        request = pb.GetTensorRequest(model="model", read=pb.Read(tensor="small"), generation=generation)
        self.assertEqual(read_stream(self.stub.GetTensor(request)).header.generation, generation)

    def test_server_works_after_cancelled_streams(self) -> None:
        for _ in range(20):
            stream = self.stub.GetFile(pb.GetFileRequest(model="model", file="weights.safetensors"))
            next(stream)
            stream.cancel()
        self.test_every_tensor_and_its_checksums_are_right()

    def test_health_is_serving(self) -> None:
        health = health_pb2_grpc.HealthStub(grpc.insecure_channel(self.server.address))
        answer = health.Check(health_pb2.HealthCheckRequest())
        self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)

    def test_health_of_an_unknown_service_is_not_found(self) -> None:
        health = health_pb2_grpc.HealthStub(grpc.insecure_channel(self.server.address))
        request = health_pb2.HealthCheckRequest(service="tensorferry.v2.Other")
        with self.assertRaises(grpc.RpcError) as raised:
            health.Check(request)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertIn('"tensorferry.v2.Other"', raised.exception.details())
        watch = health.Watch(request, timeout=60)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        watch.cancel()

    def test_reflection_is_off_by_default(self) -> None:
        def services(address: str) -> list[str]:
            stub = reflection_pb2_grpc.ServerReflectionStub(grpc.insecure_channel(address))
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            return [service.name for answer in stub.ServerReflectionInfo(iter([request]))
                    for service in answer.list_services_response.service]

        with self.assertRaises(grpc.RpcError) as raised:
            services(self.server.address)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertIn("tensorferry.v1.TensorService", services(self.serve(self.root, "--reflection").address))


if __name__ == "__main__":
    unittest.main()
