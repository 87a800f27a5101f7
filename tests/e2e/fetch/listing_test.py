# SPDX-License-Identifier: Apache-2.0
"""Lists are complete and in order for pages, prefixes and globs. Invalid requests fail with the code in the proto."""

import fnmatch
import json
import pathlib
import unittest
from collections.abc import Callable

import grpc
import numpy

import harness
import stock_client
from stock_client import pb, to_proto
from tensor_files import TensorToWrite, make_tensor, write_safetensors

NAMES = ["", "a", "a.b", "a.b.c", "aa", "b[0]", "b\\0", "layers.0.w", "layers.1.w", "layers.10.w", "layers.2.w",
         "line\nbreak", "\u00e4", "\u65e5\u672c", "\U0001f600", "Z", "~", "\x1b[31m", "a" * 4096]
COMPANIONS = ["config.json", "generation_config.json", "merges.txt", "tokenizer.json", "zz.json"]


class ListingTest(harness.EndToEndTest):
    """A root with a model with unusual names, plain files, and a bad file."""

    def setUp(self) -> None:
        super().setUp()
        generator = numpy.random.default_rng(harness.SEED)
        self.root = self.directory / "root"
        names = list(NAMES)
        harness.random_source("listing").shuffle(names)
        write_safetensors(self.root / "odd.safetensors", [make_tensor(name, "U8", (2, 3), generator) for name in names],
                          {"format": "pt"})
        for i in range(20):
            write_safetensors(self.root / f"group/{i}/m.safetensors", [TensorToWrite("t", "U8", (1,), bytes([i]))])
        write_safetensors(self.root / "files/model.safetensors", [TensorToWrite("t", "U8", (1,), b"\0")], {"a": "b"})
        for name in COMPANIONS:
            (self.root / "files" / name).write_text(f'"{name}"')
        write_safetensors(self.root / "narrow.safetensors", [TensorToWrite("f4", "F4", (2, 4), bytes(4))])
        (self.root / "bad").mkdir()
        (self.root / "bad/model.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0{\"a\"")
        self.server = self.serve(self.root)
        self.stub = stock_client.connect(self.server.address)

    def list_tensors(self, page_size: int = 0, **request: str) -> list[str]:
        names: list[str] = []
        token = ""
        while True:
            page = self.stub.ListTensors(pb.ListTensorsRequest(model="odd.safetensors", page_size=page_size,
                                                               page_token=token, **request))
            self.assertLessEqual(len(page.tensors), page_size or len(NAMES))
            names += [tensor.name for tensor in page.tensors]
            token = page.next_page_token
            if not token:
                return names

    def list_models(self, page_size: int = 0) -> list[str]:
        names: list[str] = []
        token = ""
        while True:
            page = self.stub.ListModels(pb.ListModelsRequest(page_size=page_size, page_token=token))
            self.assertLessEqual(len(page.models), page_size or 1000)
            names += [model.name for model in page.models]
            token = page.next_page_token
            if not token:
                return names

    def test_pages_of_any_size_give_all_tensors_in_order(self) -> None:
        expected = sorted(NAMES, key=str.encode)
        for page_size in (0, 1, 7, len(NAMES) - 1, len(NAMES), 2**31 - 1):
            self.assertEqual(self.list_tensors(page_size), expected, page_size)

    def test_pages_of_any_size_give_all_models_in_order(self) -> None:
        # A ready directory with one file is listed as the directory; a bad one is listed next to its file.
        expected = sorted([".", "narrow.safetensors", "odd.safetensors", "bad", "bad/model.safetensors", "files",
                           *(f"group/{i}" for i in range(20))])
        for page_size in (0, 1, 7, 100):
            self.assertEqual(self.list_models(page_size), expected, page_size)

    def test_bad_model_is_listed_with_the_reason_and_the_others_are_ready(self) -> None:
        models = {model.name: model for model in self.stub.ListModels(pb.ListModelsRequest()).models}
        self.assertEqual(models["bad"].state, pb.MODEL_STATE_FAILED)
        self.assertIn("bad/model.safetensors", models["bad"].error)
        self.assertEqual((models["bad"].generation, models["bad"].replacement_error), ("", ""))
        self.assertEqual((models["odd.safetensors"].error, models["odd.safetensors"].replacement_error), ("", ""))
        self.assertEqual(models["odd.safetensors"].state, pb.MODEL_STATE_READY)
        self.assertEqual(models["odd.safetensors"].tensor_count, len(NAMES))
        self.assertEqual(models["odd.safetensors"].size_bytes, 6 * len(NAMES))

    def test_prefix_and_glob_select_tensors(self) -> None:
        by_bytes = sorted(NAMES, key=str.encode)
        for prefix in ("a", "a.b", "layers.1", "\u65e5", "nothing"):
            expected = [name for name in by_bytes if name.startswith(prefix)]
            for page_size in (0, 1, 7):
                self.assertEqual(self.list_tensors(page_size, prefix=prefix), expected, prefix)
        for glob in ("*", "?", "a*", "*.w", "layers.?.w", "layers.[0-1].w", "layers.[!0]*", "b[[]0]", "*\n*", "a"):
            expected = [name for name in by_bytes if fnmatch.fnmatchcase(name, glob)]
            for page_size in (0, 1):
                self.assertEqual(self.list_tensors(page_size, glob=glob), expected, glob)
        self.assertEqual(self.list_tensors(glob="b\\[0]"), ["b[0]"])
        self.assertEqual(self.list_tensors(prefix="layers.1", glob="*0.w"), ["layers.10.w"])

    def test_metadata_describes_model_files_and_tensor(self) -> None:
        answer = self.stub.GetMetadata(pb.GetMetadataRequest(model="odd.safetensors"))
        self.assertEqual([(file.name, file.kind) for file in answer.files],
                         [("odd.safetensors", pb.FILE_KIND_SAFETENSORS)])
        path = self.root / "odd.safetensors"
        self.assertEqual(answer.files[0].size_bytes, path.stat().st_size)
        self.assertEqual(dict(answer.files[0].metadata), {"format": "pt"})
        self.assertFalse(answer.HasField("tensor"))
        for name in NAMES:
            answer = self.stub.GetMetadata(pb.GetMetadataRequest(model="odd.safetensors", tensor=name))
            tensor = answer.tensor
            self.assertEqual((tensor.name, tensor.dtype, list(tensor.shape), tensor.size_bytes, tensor.file),
                             (name, "U8", [2, 3], 6, "odd.safetensors"))
            self.assertEqual(len(answer.files), 0)
            self.assertEqual((answer.tree_digest, answer.next_page_token), ("", ""))
            stream = stock_client.read_stream(self.stub.GetTensor(
                pb.GetTensorRequest(model="odd.safetensors", read=pb.Read(tensor=name))))
            self.assertEqual(stream.data[0], path.read_bytes()[tensor.file_offset:tensor.file_offset + 6])

    def test_pages_of_any_size_give_all_files_in_order(self) -> None:
        whole = self.stub.GetMetadata(pb.GetMetadataRequest(model="files"))
        self.assertEqual([file.name for file in whole.files], sorted([*COMPANIONS, "model.safetensors"]))
        self.assertEqual(len({file.digest for file in whole.files} - {""}), len(whole.files))
        self.assertTrue(whole.tree_digest)
        for page_size in (1, 2, 5, 6, 7, 2**31 - 1):
            files = []
            token = ""
            while True:
                page = self.stub.GetMetadata(
                    pb.GetMetadataRequest(model="files", page_size=page_size, page_token=token))
                self.assertLessEqual(len(page.files), page_size)
                self.assertEqual((page.model, page.tree_digest), (whole.model, whole.tree_digest))
                files += page.files
                token = page.next_page_token
                if not token:
                    break
            self.assertEqual(files, list(whole.files), page_size)

    def test_tree_digest_is_of_all_files(self) -> None:
        def digest_of(change: Callable[[pathlib.Path], object]) -> tuple[str, str]:
            root = self.temporary_directory()
            write_safetensors(root / "m/model.safetensors", [TensorToWrite("t", "U8", (1,), b"\0")])
            (root / "m/config.json").write_text("{}")
            change(root / "m")
            answer = stock_client.connect(self.serve(root).address).GetMetadata(pb.GetMetadataRequest(model="m"))
            return answer.model.generation, answer.tree_digest

        generation, digest = digest_of(lambda directory: None)
        self.assertEqual(digest_of(lambda directory: None), (generation, digest))
        for change in (lambda directory: (directory / "config.json").write_text("[]"),
                       lambda directory: (directory / "config.json").rename(directory / "other.json"),
                       lambda directory: (directory / "tokenizer.json").write_text("{}")):
            changed = digest_of(change)
            self.assertEqual(changed[0], generation, "companions are not part of a generation")
            self.assertNotEqual(changed[1], digest)

    def test_metadata_larger_than_a_message_is_omitted_and_in_the_header(self) -> None:
        root = self.temporary_directory()
        metadata = {"large": "x" * (5 << 20)}
        write_safetensors(root / "m/1.safetensors", [TensorToWrite("a", "U8", (1,), b"\1")], metadata)
        write_safetensors(root / "m/2.safetensors", [TensorToWrite("b", "U8", (1,), b"\2")], {"format": "pt"})
        stub = stock_client.connect(self.serve(root).address)
        self.assertEqual([tensor.name for tensor in stub.ListTensors(pb.ListTensorsRequest(model="m")).tensors],
                         ["a", "b"])
        files = {}
        token = ""
        while True:
            page = stub.GetMetadata(pb.GetMetadataRequest(model="m", page_token=token))
            files |= {file.name: file for file in page.files}
            token = page.next_page_token
            if not token:
                break
        self.assertEqual((dict(files["1.safetensors"].metadata), files["1.safetensors"].metadata_omitted), ({}, True))
        self.assertEqual((dict(files["2.safetensors"].metadata), files["2.safetensors"].metadata_omitted),
                         ({"format": "pt"}, False))
        file = bytes(stock_client.read_stream(stub.GetFile(pb.GetFileRequest(model="m", file="1.safetensors"))).data[0])
        header = json.loads(file[8:8 + int.from_bytes(file[:8], "little")])
        self.assertEqual(header["__metadata__"], metadata)

    def assert_refused(self, code: grpc.StatusCode, named: str, rpc: str, **request: object) -> None:
        message = getattr(pb, f"{rpc}Request")(**request)
        with self.assertRaises(grpc.RpcError, msg=f"{rpc} {request}") as raised:
            answer = getattr(self.stub, rpc)(message)
            if rpc in ("GetTensor", "GetSlice", "GetTensors", "GetFile"):
                list(answer)
        self.assertEqual(raised.exception.code(), code, f"{rpc} {request}: {raised.exception.details()}")
        self.assertIn(named, raised.exception.details(), f"{rpc} {request}")

    def test_wrong_requests_are_refused_with_the_code_and_the_name(self) -> None:
        code = grpc.StatusCode
        model = "odd.safetensors"
        of_a = {"read": pb.Read(tensor="a")}
        of_model = {"ListTensors": {}, "GetMetadata": {}, "GetTensor": of_a, "GetSlice": of_a,
                    "GetTensors": {"reads": [pb.Read(tensor="a")]}, "GetFile": {"file": model}}
        for rpc, request in of_model.items():
            for name in ("no/model", "..", "/", "./odd.safetensors", "odd.safetensors/", "bad\x1b[31m", "../root"):
                self.assert_refused(code.NOT_FOUND, name.replace("\x1b", "\\u{1b}"), rpc, model=name, **request)
            self.assert_refused(code.INVALID_ARGUMENT, "model", rpc, model="", **request)
            self.assert_refused(code.FAILED_PRECONDITION, '"bad"', rpc, model="bad", **request)
            self.assert_refused(code.ABORTED, model, rpc, model=model, generation="another", **request)
        self.assert_refused(code.NOT_FOUND, '"no tensor"', "GetMetadata", model=model, tensor="no tensor")
        for name in ("no.json", "../odd.safetensors", "narrow.safetensors", ""):
            self.assert_refused(code.NOT_FOUND, f'"{name}"', "GetFile", model=model, file=name)
        for rpc in ("GetTensor", "GetSlice", "GetTensors"):
            def of(read: pb.Read, many: bool = rpc == "GetTensors") -> dict[str, object]:
                return {"model": model} | ({"reads": [read]} if many else {"read": read})

            self.assert_refused(code.NOT_FOUND, '"no tensor"', rpc, **of(pb.Read(tensor="no tensor")))
            self.assert_refused(code.OUT_OF_RANGE, '"a"', rpc, **of(pb.Read(tensor="a", read_offset=7)))
            # The offset must be valid even if the limit is 0.
            self.assert_refused(code.OUT_OF_RANGE, '"a"', rpc, **of(pb.Read(tensor="a", read_offset=7, read_limit=0)))
            self.assert_refused(code.INVALID_ARGUMENT, '"a"', rpc, **of(pb.Read(tensor="a", read_offset=-1)))
            self.assert_refused(code.INVALID_ARGUMENT, '"a"', rpc, **of(pb.Read(tensor="a", read_limit=-1)))
        for rpc in ("GetTensor", "GetSlice"):
            self.assert_refused(code.INVALID_ARGUMENT, "read", rpc, model=model)
        for wrong in (to_proto((0,)), pb.Slice()):
            self.assert_refused(code.INVALID_ARGUMENT, "slice", "GetTensor", model=model,
                                read=pb.Read(tensor="a", slice=wrong))
        self.assert_refused(code.OUT_OF_RANGE, f'"{model}"', "GetFile", model=model, file=model, read_offset=2**40)
        self.assert_refused(code.INVALID_ARGUMENT, f'"{model}"', "GetFile", model=model, file=model, read_offset=-1)
        self.assert_refused(code.INVALID_ARGUMENT, f'"{model}"', "GetFile", model=model, file=model, read_limit=-1)

    def test_wrong_pages_and_globs_are_refused(self) -> None:
        code = grpc.StatusCode.INVALID_ARGUMENT
        for rpc, request in (("ListModels", {}), ("ListTensors", {"model": "odd.safetensors"}),
                             ("GetMetadata", {"model": "files"})):
            self.assert_refused(code, "page_size", rpc, page_size=-1, **request)
            for token in ("nonsense", "=", "YQ==", "\n"):
                self.assert_refused(code, "page_token", rpc, page_token=token, **request)
        for glob in ("[", "a[b", "\\"):
            self.assert_refused(code, "glob", "ListTensors", model="odd.safetensors", glob=glob)

    def test_wrong_slices_and_plans_are_refused_with_dimension_and_read(self) -> None:
        code = grpc.StatusCode.INVALID_ARGUMENT
        model = "odd.safetensors"
        for key in ((5,), (0, -4), (slice(0, 1, 0),), (slice(None), slice(0, 2, -1))):
            wrong = to_proto(key)
            named = f"dimension {len(key) - 1}"
            self.assert_refused(code, named, "GetSlice", model=model, read=pb.Read(tensor="a", slice=wrong))
            self.assert_refused(code, "read 1", "GetTensors", model=model,
                                reads=[pb.Read(tensor="a"), pb.Read(tensor="b[0]", slice=wrong)])
        self.assert_refused(code, '"a"', "GetSlice", model=model, read=pb.Read(tensor="a", slice=to_proto((0, 0, 0))))
        unset = pb.Slice(dimensions=[pb.DimensionSlice()])
        self.assert_refused(code, "dimension 0", "GetSlice", model=model, read=pb.Read(tensor="a", slice=unset))
        self.assert_refused(code, "dimension 1", "GetSlice", model="narrow.safetensors",
                            read=pb.Read(tensor="f4", slice=to_proto((0, slice(1, 3)))))
        reads = [pb.Read(tensor="a"), pb.Read(tensor="a"), pb.Read(tensor="no tensor")]
        self.assert_refused(grpc.StatusCode.NOT_FOUND, "read 2", "GetTensors", model=model, reads=reads)


if __name__ == "__main__":
    unittest.main()
