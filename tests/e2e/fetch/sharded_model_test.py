# SPDX-License-Identifier: Apache-2.0
"""A directory with an index is exactly the model in the index. A broken index is listed and hides nothing."""

import json
import unittest
from collections.abc import Callable

import grpc
import numpy

import harness
import stock_client
from stock_client import pb
from tensor_files import make_tensor, write_index, write_safetensors

INDEX = "model.safetensors.index.json"
SHARDS = {f"model-0000{i}-of-00003.safetensors": [f"layers.{i}.{part}" for part in ("k", "q", "v")] for i in (1, 2, 3)}
WEIGHT_MAP = {name: shard for shard, names in SHARDS.items() for name in names}


class ShardedModelTest(harness.EndToEndTest):
    """Three shards and their index. One tensor and one file are not in the index."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.generator = numpy.random.default_rng(harness.SEED)
        self.tensors = {}
        self.write_shards(self.root / "sharded")

    def write_shards(self, directory) -> None:
        for shard, names in SHARDS.items():
            extra = ["not.in.the.index"] if "00002" in shard else []
            tensors = [make_tensor(name, "BF16", (4, 33), self.generator) for name in [*names, *extra]]
            self.tensors |= {tensor.name: tensor for tensor in tensors}
            write_safetensors(directory / shard, tensors, {"format": "pt", "shard": shard})
        write_safetensors(directory / "consolidated.safetensors",
                          [make_tensor("layers.1.k", "BF16", (4, 33), self.generator)])
        write_index(directory / INDEX, WEIGHT_MAP)
        (directory / "config.json").write_text("{}")

    def test_model_is_exactly_the_files_and_tensors_of_the_index(self) -> None:
        stub = stock_client.connect(self.serve(self.root).address)
        listed = stub.ListTensors(pb.ListTensorsRequest(model="sharded")).tensors
        self.assertEqual({tensor.name: tensor.file for tensor in listed}, WEIGHT_MAP)
        files = stub.GetMetadata(pb.GetMetadataRequest(model="sharded")).files
        self.assertEqual([file.name for file in files], sorted([*SHARDS, INDEX, "config.json"]))
        self.assertEqual([file.kind for file in files if file.name in (INDEX, "config.json")],
                         [pb.FILE_KIND_COMPANION, pb.FILE_KIND_INDEX])
        for request in (pb.GetTensorRequest(model="sharded", read=pb.Read(tensor="not.in.the.index")),
                        pb.GetFileRequest(model="sharded", file="consolidated.safetensors")):
            with self.assertRaises(grpc.RpcError) as raised:
                list(stub.GetTensor(request) if "Tensor" in type(request).__name__ else stub.GetFile(request))
            self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_plan_over_all_shards_gives_every_tensor(self) -> None:
        stub = stock_client.connect(self.serve(self.root).address)
        names = list(WEIGHT_MAP)
        harness.random_source("shards").shuffle(names)
        request = pb.GetTensorsRequest(model="sharded", reads=[pb.Read(tensor=name) for name in names])
        stream = stock_client.read_stream(stub.GetTensors(request), check_crc=True)
        for index, name in enumerate(names):
            self.assertEqual(stream.data[index], self.tensors[name].data, name)

    def test_shard_that_the_index_leaves_out_is_a_model_of_its_own(self) -> None:
        server = self.serve(self.root)
        names = [model["name"] for model in self.cli_json("ls", server=server)]
        self.assertEqual(names, ["sharded", "sharded/consolidated.safetensors"])
        # The shards are not listed, but can be requested by name.
        shard = "sharded/model-00002-of-00003.safetensors"
        listed = self.cli_json("ls", shard, server=server)
        self.assertIn("not.in.the.index", [tensor["name"] for tensor in listed])

    def test_cli_lists_tensors_files_and_totals(self) -> None:
        server = self.serve(self.root)
        listed = self.cli_json("ls", "sharded", server=server)
        self.assertEqual([tensor["name"] for tensor in listed], sorted(WEIGHT_MAP))
        self.assertEqual({(tensor["dtype"], *tensor["shape"], tensor["size_bytes"]) for tensor in listed},
                         {("BF16", 4, 33, 264)})
        text = self.cli_succeeds("ls", "sharded", "--glob", "layers.2.*", server=server).decode()
        self.assertEqual([line.split()[0] for line in text.splitlines()],
                         ["TENSOR", "layers.2.k", "layers.2.q", "layers.2.v"])
        info = self.cli_json("info", "sharded", server=server)
        self.assertEqual((info["tensor_count"], info["file_count"], info["size_bytes"]), (9, 3, 9 * 264))
        metadata = {file["name"]: file.get("metadata") for file in info["files"]}
        self.assertEqual(metadata["model-00001-of-00003.safetensors"]["shard"], "model-00001-of-00003.safetensors")
        self.assertIsNone(metadata[INDEX])
        text = self.cli_succeeds("info", "sharded", server=server).decode()
        for word in (*SHARDS, INDEX, "config.json", "tensors:     9", info["generation"]):
            self.assertIn(word, text)

    def test_directory_without_index_is_all_its_files(self) -> None:
        (self.root / "sharded" / INDEX).unlink()
        (self.root / "sharded/consolidated.safetensors").unlink()
        server = self.serve(self.root)
        listed = self.cli_json("ls", "sharded", server=server)
        self.assertEqual([tensor["name"] for tensor in listed], sorted([*WEIGHT_MAP, "not.in.the.index"]))

    def test_tensor_in_two_files_without_index_names_both(self) -> None:
        (self.root / "sharded" / INDEX).unlink()
        server = self.serve(self.root)
        self.cli_fails(1, ('"layers.1.k"', "consolidated.safetensors", "model-00001-of-00003.safetensors"),
                       "ls", "sharded", server=server)
        # Each of the files can still be fetched.
        self.assertEqual(len(self.cli_json("ls", "sharded/consolidated.safetensors", server=server)), 1)

    def test_index_chooses_between_tensors_of_one_name(self) -> None:
        write_index(self.root / "sharded" / INDEX, WEIGHT_MAP | {"layers.1.k": "consolidated.safetensors"})
        server = self.serve(self.root)
        listed = {tensor["name"]: tensor["file"] for tensor in self.cli_json("ls", "sharded", server=server)}
        self.assertEqual(listed["layers.1.k"], "consolidated.safetensors")
        self.assertEqual(listed["layers.1.q"], "model-00001-of-00003.safetensors")

    def test_broken_indexes_are_listed_with_the_reason_and_hide_nothing_else(self) -> None:
        shard = "model-00001-of-00003.safetensors"

        def in_map(**changed: object) -> Callable:
            return lambda path: write_index(path / INDEX, WEIGHT_MAP | changed)

        def text(content: str) -> Callable:
            return lambda path: (path / INDEX).write_text(content)

        cases = {
            "missing": (in_map(x="nowhere.safetensors"), "nowhere.safetensors"),
            "absent": (lambda path: (path / shard).unlink(), shard),
            "damaged": (lambda path: (path / shard).write_bytes(b"junk"), shard),
            "tensor": (in_map(**{"layers.9.k": shard}), "layers.9.k"),
            "absolute": (in_map(x="/etc/passwd"), "/etc/passwd"),
            "dots": (in_map(x=f"../sharded/{shard}"), "../sharded"),
            "folder": (in_map(x=f"sub/{shard}"), "sub/"),
            "number": (in_map(x=7), "x"),
            "null": (in_map(x=None), "x"),
            "list": (text('{"weight_map": ["a"]}'), INDEX),
            "none": (text('{"metadata": {}}'), "weight_map"),
            "twice": (text('{"weight_map": {"layers.1.k": "%s", "layers.1.k": "%s"}}' % (shard, shard)), "layers.1.k"),
            "empty": (text(""), INDEX),
            "cut": (text(json.dumps({"weight_map": WEIGHT_MAP})[:-3]), INDEX),
            "two": (lambda path: write_index(path / "b.safetensors.index.json", {}), "b.safetensors.index.json"),
        }
        for name, (break_it, _) in cases.items():
            self.write_shards(self.root / "broken" / name)
            break_it(self.root / "broken" / name)
        server = self.serve(self.root)
        models = {model["name"]: model for model in self.cli_json("ls", server=server)}
        self.assertTrue(models["sharded"]["ready"])
        text_output = self.cli_succeeds("ls", server=server).decode()
        log = server.stderr()
        for name, (_, named) in cases.items():
            with self.subTest(name):
                model = models[f"broken/{name}"]
                self.assertFalse(model["ready"])
                self.assertIn(named, model["error"])
                self.assertRegex(text_output, rf"(?m)^broken/{name} +- +- +- +failed: ")
                self.assertIn(f"model cannot be served model=broken/{name} error=", log)
                self.cli_fails(1, (f'"broken/{name}"', named), "get", f"broken/{name}", "layers.2.k", "-o",
                               self.directory / "no", server=server)
        self.assertFalse((self.directory / "no").exists())


if __name__ == "__main__":
    unittest.main()
