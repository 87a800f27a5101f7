# SPDX-License-Identifier: Apache-2.0
"""`tensorferry get` writes raw, .npy and .safetensors files and streams with the same slices as numpy."""

import os
import subprocess
import unittest

import numpy
import safetensors

import harness
from metrics_text import scrape, total
from tensor_files import DTYPE_BITS, NUMPY_DTYPES, make_tensor, write_safetensors

# Slices on the command line, and the same slices in numpy.
SLICES = {
    "[0:8, :, -1]": numpy.s_[0:8, :, -1], "[-1]": numpy.s_[-1], "3": numpy.s_[3], "::2": numpy.s_[::2],
    "[1:9:3, 2]": numpy.s_[1:9:3, 2], "[]": numpy.s_[()], "[:, -3:, 1::2]": numpy.s_[:, -3:, 1::2],
    "[5:2]": numpy.s_[5:2], "[-100:100]": numpy.s_[-100:100], "[ 1 , 2 , 3 ]": numpy.s_[1, 2, 3],
}


class CliGetTest(harness.EndToEndTest):
    """A model with a tensor of every dtype and one large one."""

    def setUp(self) -> None:
        super().setUp()
        generator = numpy.random.default_rng(harness.SEED)
        shapes = {dtype: (10, 4, 8) for dtype in DTYPE_BITS}
        self.tensors = {name: make_tensor(name, name, shape, generator) for name, shape in shapes.items()}
        self.tensors["large"] = make_tensor("large", "F32", (1024, 1536), generator)
        self.tensors["scalar"] = make_tensor("scalar", "F64", (), generator)
        root = self.directory / "root"
        write_safetensors(root / "m.safetensors", self.tensors.values())
        self.server = self.serve(root)
        self.out = self.directory / "out"
        self.out.mkdir()

    def get(self, tensor: str, output: object, *options: str) -> bytes:
        return self.cli_succeeds("get", "m.safetensors", tensor, "-o", output, *options, server=self.server)

    def test_raw_files_hold_the_bytes_of_every_dtype(self) -> None:
        for name, tensor in self.tensors.items():
            self.assertEqual(self.get(name, self.out / f"{name}.bin"), b"")
            self.assertTrue((self.out / f"{name}.bin").read_bytes() == tensor.data, name)
        self.assertEqual(len(list(self.out.iterdir())), len(self.tensors))

    def test_npy_files_hold_the_array_of_every_dtype_that_numpy_has(self) -> None:
        for name, tensor in self.tensors.items():
            if tensor.dtype not in NUMPY_DTYPES:
                continue
            output = self.out / f"{name}.npy"
            self.get(name, output)
            array = numpy.load(output, allow_pickle=False)
            self.assertEqual((array.dtype, array.shape), (tensor.array().dtype, tensor.shape))
            self.assertEqual(array.tobytes(), tensor.data)

    def test_get_of_any_format_is_one_rpc(self) -> None:
        server = self.serve(self.directory / "root", "--admin-listen", "127.0.0.1:0")
        for count, name in enumerate(("x.bin", "x.npy", "x.safetensors"), start=1):
            self.cli_succeeds("get", "m.safetensors", "large", "-o", self.out / name, server=server)
            harness.wait_until(lambda count=count: total(scrape(server), "grpc_server_handled_total") >= count, name)
            self.assertEqual(total(scrape(server), "grpc_server_started_total"), count, name)

    def test_npy_of_a_dtype_that_numpy_lacks_suggests_other_formats(self) -> None:
        for dtype in sorted(set(DTYPE_BITS) - set(NUMPY_DTYPES)):
            self.cli_fails(1, (dtype, "safetensors", "raw"), "get", "m.safetensors", dtype, "-o", self.out / "x.npy",
                           server=self.server)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_safetensors_files_hold_name_dtype_and_shape(self) -> None:
        for name, tensor in self.tensors.items():
            output = self.out / "t.safetensors"
            self.get(name, output)
            [(found, info)] = safetensors.deserialize(output.read_bytes())
            self.assertEqual((found, info["dtype"], tuple(info["shape"])), (name, tensor.dtype, tensor.shape))
            self.assertTrue(bytes(info["data"]) == tensor.data, name)

    def test_slices_mean_what_numpy_means(self) -> None:
        array = self.tensors["I32"].array()
        for text, key in SLICES.items():
            expected = numpy.asarray(array[key])
            self.get("I32", self.out / "s.npy", "--slice", text)
            got = numpy.load(self.out / "s.npy", allow_pickle=False)
            self.assertEqual(got.shape, expected.shape, text)
            self.assertEqual(got.tobytes(), expected.tobytes(), text)
            self.assertEqual(self.get("I32", "-", "--slice", text), expected.tobytes(), text)
            self.get("I32", self.out / "s.safetensors", "--slice", text)
            [(_, info)] = safetensors.deserialize((self.out / "s.safetensors").read_bytes())
            self.assertEqual((tuple(info["shape"]), bytes(info["data"])), (expected.shape, expected.tobytes()))
        self.assertEqual(self.get("large", "-", "--slice", "[::3, 5:1500:7]"),
                         self.tensors["large"].array()[::3, 5:1500:7].tobytes())

    def test_slice_of_narrow_dtype_must_begin_and_end_on_bytes(self) -> None:
        for dtype, stop, size in (("F4", 4, 2), ("F6_E2M3", 4, 3)):
            self.assertEqual(self.get(dtype, "-", "--slice", f"[0, 0, 0:{stop}]"), self.tensors[dtype].data[:size])
            self.cli_fails(1, (dtype, "whole byte"), "get", "m.safetensors", dtype, "--slice", "[0, 0, 1:3]", "-o",
                           self.out / "x", server=self.server)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_several_connections_give_the_same(self) -> None:
        for connections in ("2", "7"):
            self.get("large", self.out / "large", "--connections", connections)
            self.assertTrue((self.out / "large").read_bytes() == self.tensors["large"].data)
            # A stream needs bytes in order, which one connection delivers.
            self.assertTrue(self.get("large", "-", "--connections", connections) == self.tensors["large"].data)

    def test_stdout_pipes_and_format_option(self) -> None:
        self.assertEqual(self.get("scalar", "-"), self.tensors["scalar"].data)
        npy = self.get("I16", "-", "--format", "npy")
        (self.out / "piped.npy").write_bytes(npy)
        self.assertEqual(numpy.load(self.out / "piped.npy").tobytes(), self.tensors["I16"].data)
        self.get("I16", self.out / "raw.npy", "--format", "raw")
        self.assertEqual((self.out / "raw.npy").read_bytes(), self.tensors["I16"].data)
        self.cli_fails(2, ("safetensors",), "get", "m.safetensors", "I16", "-o", "-", "--format", "safetensors",
                       server=self.server)
        fifo = self.out / "fifo"
        os.mkfifo(fifo)
        with open(self.out / "read", "wb") as read, subprocess.Popen(["cat", fifo], stdout=read) as reader:
            self.get("large", fifo)
            self.assertEqual(reader.wait(harness.PATIENCE_SECONDS), 0)
        self.assertTrue((self.out / "read").read_bytes() == self.tensors["large"].data)

    def test_existing_file_is_replaced_as_a_whole_or_unchanged(self) -> None:
        output = self.out / "t"
        output.write_bytes(b"old")
        self.cli_fails(1, ('"none"',), "get", "m.safetensors", "none", "-o", output, server=self.server)
        self.assertEqual(output.read_bytes(), b"old")
        self.get("U8", output)
        self.assertEqual(output.read_bytes(), self.tensors["U8"].data)
        # If the output is a link, its target is replaced.
        link = self.out / "link"
        link.symlink_to(output)
        self.get("I8", link)
        self.assertTrue(link.is_symlink())
        self.assertEqual(output.read_bytes(), self.tensors["I8"].data)
        self.assertEqual(sorted(path.name for path in self.out.iterdir()), ["link", "t"])

    def test_file_gets_the_permissions_of_a_new_file(self) -> None:
        mask = os.umask(0o027)
        self.addCleanup(os.umask, mask)
        for name in ("t.raw", "t.npy", "t.safetensors"):
            self.get("U8", self.out / name)
            self.assertEqual((self.out / name).stat().st_mode & 0o777, 0o640, name)


if __name__ == "__main__":
    unittest.main()
