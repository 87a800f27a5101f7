# SPDX-License-Identifier: Apache-2.0
"""`tensorferry get` and `bench` by way of a GPU's memory, on the fake driver; and what they say where there is none."""

import os
import pathlib
import re
import unittest

import numpy

import harness
from tensor_files import DTYPE_BITS, make_tensor, write_safetensors

FAKE_CUDA_DIR = os.environ.get("TENSORFERRY_FAKE_CUDA_DIR")
# Small, so that everything takes many slots.
RING = ("--slot-bytes", "65536", "--slots", "3")


class CliDeviceTest(harness.EndToEndTest):
    """A model with a tensor of every dtype and one large one."""

    def setUp(self) -> None:
        super().setUp()
        generator = numpy.random.default_rng(harness.SEED)
        self.tensors = {name: make_tensor(name, name, (10, 4, 8), generator) for name in DTYPE_BITS}
        self.tensors["large"] = make_tensor("large", "F32", (1024, 1536), generator)
        self.tensors["empty"] = make_tensor("empty", "F32", (0, 3), generator)
        root = self.directory / "root"
        write_safetensors(root / "m.safetensors", self.tensors.values())
        self.server = self.serve(root)

    def on_fake_device(self, *args: object, delay_us: int = 0) -> bytes:
        """Runs the client with a fake driver, which prints what the client left behind or did wrong."""
        if FAKE_CUDA_DIR is None:
            self.skipTest("there is no fake driver: this was built without cuda.h")
        return self.cli_succeeds(*args, server=self.server,
                                 env={"LD_LIBRARY_PATH": FAKE_CUDA_DIR, "FAKE_CUDA_MAX_DELAY_US": str(delay_us)})

    def test_what_comes_back_from_the_device_is_the_tensor(self) -> None:
        for name, tensor in self.tensors.items():
            output = self.directory / "out.raw"
            self.on_fake_device("get", "m.safetensors", name, "-o", output, "--device", "cuda:1", *RING)
            self.assertTrue(output.read_bytes() == tensor.data, name)

    def test_every_format_and_a_stream(self) -> None:
        args = ("get", "m.safetensors", "large", "--slice", "[3:900:7, 100:]", "--device", "cuda:0", *RING)
        expected = self.tensors["large"].array()[3:900:7, 100:]
        self.on_fake_device(*args, "-o", self.directory / "out.npy", delay_us=500)
        array = numpy.load(self.directory / "out.npy")
        self.assertEqual((array.shape, array.tobytes()), (expected.shape, expected.tobytes()))
        self.on_fake_device(*args, "-o", self.directory / "out.safetensors")
        self.assertTrue((self.directory / "out.safetensors").read_bytes().endswith(expected.tobytes()))
        self.assertTrue(self.on_fake_device(*args, "-o", "-", "--connections", "3") == expected.tobytes())

    def test_bench_names_the_device_and_the_ring(self) -> None:
        args = ("bench", "m.safetensors", "--rounds", "2", "--latency-reads", "5", "--device", "cuda:0", *RING)
        self.assertIn(b"into cuda:0 (Fake GPU 0) by way of 3 slots of 64.0 KiB", self.on_fake_device(*args))
        self.assertRegex(self.on_fake_device(*args, "--json"),
                         rb'^{"device":"cuda:0","device_name":"Fake GPU 0","slot_bytes":65536,"slots":3,"bytes":')

    def test_devices_that_are_not_there_are_named(self) -> None:
        args = ("get", "m.safetensors", "large", "-o", self.directory / "out")
        if FAKE_CUDA_DIR is not None:
            self.cli_fails(1, ("there is no device cuda:7: this machine has 2",), *args, "--device", "cuda:7",
                           server=self.server, env={"LD_LIBRARY_PATH": FAKE_CUDA_DIR})
            self.cli_fails(1, ("cannot start the NVIDIA driver: FAKE_ERROR_100",), *args, "--device", "cuda:0",
                           server=self.server, env={"LD_LIBRARY_PATH": FAKE_CUDA_DIR, "FAKE_CUDA_NO_DEVICE": "1"})
        for wrong in ("gpu0", "cuda:", "cuda:-1", "cuda:x", "0"):
            self.cli_fails(2, ("--device", "cuda:N"), *args, f"--device={wrong}", server=self.server)
        result = self.run_cli(*args, "--device", "cuda:9999", server=self.server)
        # Without a driver, without cuda.h, and with a real driver.
        self.assert_one_line_error(result, 1)
        self.assertRegex(result.stderr, "no NVIDIA driver|built without CUDA|no device cuda:9999")
        self.assertFalse((self.directory / "out").exists())

    @unittest.skipIf(FAKE_CUDA_DIR is None, "this was built without cuda.h")
    def test_drivers_that_cannot_be_used_are_named(self) -> None:
        args = ("get", "m.safetensors", "large", "-o", self.directory / "out", "--device", "cuda:0")
        library = self.directory / "libcuda.so.1"
        library.touch()
        env = {"LD_LIBRARY_PATH": str(self.directory)}
        self.cli_fails(1, ("there is no NVIDIA driver on this machine", str(library)), *args, server=self.server,
                       env=env)
        # Some library that has no function of CUDA's.
        library.unlink()
        library.symlink_to(re.search(r"/\S+/libc\.so\.6", pathlib.Path("/proc/self/maps").read_text())[0])
        self.cli_fails(1, ("the NVIDIA driver is too old: its libcuda.so.1 lacks cuCtxGetCurrent",), *args,
                       server=self.server, env=env)


if __name__ == "__main__":
    unittest.main()
