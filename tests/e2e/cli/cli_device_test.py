# SPDX-License-Identifier: Apache-2.0
"""Fetches into the memory of a GPU with device_get and `tensorferry bench`, on the fake driver."""

import os
import pathlib
import re
import unittest

import numpy

import harness
from tensor_files import DTYPE_BITS, make_tensor, write_safetensors

FAKE_CUDA_DIR = os.environ.get("TENSORFERRY_FAKE_CUDA_DIR")
# Small, so every fetch fills many staging buffers.
BUFFERS = ("--staging-buffer-bytes", "64KiB", "--staging-buffers", "3")


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

    def fake_driver(self, delay_us: int = 0) -> dict[str, str]:
        """Returns the environment of a program with the fake driver, which prints leaks and wrong calls."""
        if FAKE_CUDA_DIR is None:
            self.skipTest("TENSORFERRY_FAKE_CUDA_DIR is not set")
        return {"LD_LIBRARY_PATH": FAKE_CUDA_DIR, "FAKE_CUDA_MAX_DELAY_US": str(delay_us)}

    def from_fake_device(self, *args: object, delay_us: int = 0) -> bytes:
        """Runs device_get, and returns the contents of the device memory after the fetch."""
        return self.device_get_succeeds(*args, *BUFFERS, server=self.server, env=self.fake_driver(delay_us))

    def test_device_memory_holds_the_tensor(self) -> None:
        for name, tensor in self.tensors.items():
            self.assertTrue(self.from_fake_device("m.safetensors", name, "--device", "cuda:1") == tensor.data, name)

    def test_device_memory_holds_the_slice(self) -> None:
        args = ("m.safetensors", "large", "--slice", "[3:900:7, 100:]", "--device", "cuda:0")
        expected = self.tensors["large"].array()[3:900:7, 100:].tobytes()
        self.assertTrue(self.from_fake_device(*args, delay_us=500) == expected)
        self.assertTrue(self.from_fake_device(*args, "--connections", "3") == expected)

    def test_bench_names_the_device_and_the_staging_buffers(self) -> None:
        args = ("bench", "m.safetensors", "--rounds", "2", "--latency-reads", "5", "--device", "cuda:0", *BUFFERS)
        how = {"server": self.server, "env": self.fake_driver()}
        self.assertIn(b"into cuda:0 (Fake GPU 0) through 3 staging buffers of 64.0 KiB",
                      self.cli_succeeds(*args, **how))
        self.assertRegex(self.cli_succeeds(*args, "--json", **how),
                         rb'^{"device":"cuda:0","device_name":"Fake GPU 0",'
                         rb'"staging_buffer_bytes":65536,"staging_buffers":3,"bytes":')

    def test_wrong_staging_buffers_are_refused(self) -> None:
        for flag, wrong in (("--staging-buffers", "1"), ("--staging-buffers", "65"), ("--staging-buffer-bytes", "4095"),
                            ("--staging-buffer-bytes", "2GiB"), ("--staging-buffer-bytes", "4XiB")):
            self.cli_fails(2, (flag,), "bench", "m.safetensors", "--device", "cuda:0", flag, wrong, server=self.server)

    def test_missing_devices_are_named(self) -> None:
        args = ("bench", "m.safetensors")
        for wrong in ("gpu0", "cuda:", "cuda:-1", "cuda:x", "0"):
            self.cli_fails(2, ("--device", "cuda:N"), *args, f"--device={wrong}", server=self.server)
        result = self.run_cli(*args, "--device", "cuda:9999", server=self.server)
        # The first text is without a driver, the second with a real one.
        self.assert_one_line_error(result, 1)
        self.assertRegex(result.stderr, "no NVIDIA driver|no device cuda:9999")
        self.cli_fails(1, ("no device cuda:7: the number of devices is 2",), *args, "--device", "cuda:7",
                       server=self.server, env=self.fake_driver())
        self.cli_fails(1, ("cannot start the NVIDIA driver: FAKE_ERROR_100",), *args, "--device", "cuda:0",
                       server=self.server, env=self.fake_driver() | {"FAKE_CUDA_NO_DEVICE": "1"})

    def test_unusable_drivers_are_named(self) -> None:
        args = ("bench", "m.safetensors", "--device", "cuda:0")
        library = self.directory / "libcuda.so.1"
        library.touch()
        env = {"LD_LIBRARY_PATH": str(self.directory)}
        self.cli_fails(1, ("no NVIDIA driver on this machine", str(library)), *args, server=self.server,
                       env=env)
        # A library without any function of CUDA.
        library.unlink()
        library.symlink_to(re.search(r"/\S+/libc\.so\.6", pathlib.Path("/proc/self/maps").read_text())[0])
        self.cli_fails(1, ("the NVIDIA driver is too old: libcuda.so.1 does not have cuCtxGetCurrent",), *args,
                       server=self.server, env=env)


if __name__ == "__main__":
    unittest.main()
