# SPDX-License-Identifier: Apache-2.0
"""The client of this release with the server of the previous one, and vice versa, as in a cluster during an update.

Environment:
  TENSORFERRY_PREVIOUS_BIN_DIR   directory of the previous release's tensorferryd and tensorferry (default
                                 build/previous/bin, if tests/previous.sh has built the commit in previous-release.txt)
"""

import contextlib
import functools
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from collections.abc import Iterator

import numpy

import harness
from cutting_proxy import CuttingProxy
from stalling_proxy import StallingProxy
from tensor_files import (DTYPE_BITS, NUMPY_DTYPES, TensorToWrite, data_offset, make_tensor, write_big_file,
                          write_index, write_safetensors)

BIG_BYTES = 64 << 20
MIDDLE_BYTES = 24 << 20
# A client that is stopped in the middle has perhaps not written the last bytes that it received.
SLACK_BYTES = 8 << 20
LARGE_METADATA = {"notes": "x" * (5 << 20)}

THIS = harness.BIN_DIR


@functools.cache
def previous() -> pathlib.Path:
    """Returns the directory of the previous release's programs. Skips the tests if they do not exist."""
    given = os.environ.get("TENSORFERRY_PREVIOUS_BIN_DIR")
    if given:
        return pathlib.Path(given).resolve()
    release = harness.REPOSITORY / "tests/previous-release.txt"
    commit = [line for line in release.read_text().split("\n") if line and not line.startswith("#")][0]
    if commit == "none":
        raise unittest.SkipTest(f"{release.name} names no release")
    stamp = harness.REPOSITORY / "build/previous/commit"
    built = stamp.read_text().strip() if stamp.exists() else "nothing"
    if built != commit:
        raise unittest.SkipTest(f"{stamp.parent} has {built}, not {commit}: tests/previous.sh builds it")
    return stamp.parent / "bin"


@contextlib.contextmanager
def programs_of(bin_dir: pathlib.Path) -> Iterator[None]:
    """Makes the harness run the programs in `bin_dir`."""
    with unittest.mock.patch.object(harness, "BIN_DIR", bin_dir):
        yield


class ServedFiles:
    """A root with a model of two shards, one of them large, and a model whose metadata exceeds a message."""

    def __init__(self, root: pathlib.Path):
        generator = numpy.random.default_rng(harness.SEED)
        self.root = root
        self.model = root / "model"
        self.big = self.model / "big.safetensors"
        dtypes = [make_tensor(f"dtypes.{dtype}", dtype, (4, 6, 8), generator) for dtype in sorted(DTYPE_BITS)]
        others = [make_tensor("scalar", "F32", (), generator), make_tensor("none", "I64", (0, 4), generator),
                  make_tensor("rows", "F32", (700, 1000), generator)]
        self.tensors = {tensor.name: tensor for tensor in [*dtypes, *others]}
        write_safetensors(self.model / "small.safetensors", self.tensors.values(), {"format": "pt"})
        write_big_file(self.big, "big", BIG_BYTES, generator)
        write_index(self.model / "model.safetensors.index.json",
                    {"big": self.big.name} | {name: "small.safetensors" for name in self.tensors})
        (self.model / "config.json").write_text("{}")
        (self.model / "empty.txt").write_text("")
        # A file with a large header.
        write_safetensors(root / "metadata/m.safetensors", [make_tensor("t", "U8", (100,), generator)], LARGE_METADATA)

    def sizes(self) -> dict[str, int]:
        """Returns the size of each file of the model."""
        return {path.name: path.stat().st_size for path in self.model.iterdir()}


def setUpModule() -> None:
    """Prints the two versions, or skips all tests."""
    for bin_dir in (THIS, previous()):
        with programs_of(bin_dir):
            version = harness.run_program(harness.cli_command("--version")).stdout.decode().strip()
        print(f"{version} of {bin_dir}", file=sys.stderr)


class CompatibilityTests:
    """Tests for both directions. `client` is the directory of the commands, `server_programs` that of the server."""

    client: pathlib.Path
    server_programs: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        root = pathlib.Path(tempfile.mkdtemp(prefix="tensorferry-e2e-"))
        cls.addClassCleanup(shutil.rmtree, root)
        cls.files = ServedFiles(root)

    def setUp(self) -> None:
        super().setUp()
        self.target = self.directory / "target"
        self.server = self.start_server(self.server_programs)

    @property
    def other_client(self) -> pathlib.Path:
        """Returns the directory of the release that is not `client`."""
        return previous() if self.client == THIS else THIS

    def start_server(self, bin_dir: pathlib.Path) -> harness.Server:
        with programs_of(bin_dir):
            return self.serve(self.files.root)

    def run_cli(self, *args: object, **how: object) -> subprocess.CompletedProcess:
        with programs_of(self.client):
            return super().run_cli(*args, **how)

    def start_cli(self, *args: object, bin_dir: pathlib.Path | None = None) -> subprocess.Popen:
        """Starts a command, by default that of `client`."""
        with programs_of(bin_dir or self.client):
            command = harness.cli_command(*args)
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        return program

    def get(self, tensor: str, *flags: str, name: str = "x", addresses: str = "") -> bytes:
        """Returns the bytes that `get` writes to a file, by default from `server`."""
        path = self.directory / name
        self.cli_succeeds("get", "model", tensor, "-o", path, *flags, "--server", addresses or self.server.address)
        data = path.read_bytes()
        path.unlink()
        return data

    def assert_is_big(self, data: bytes) -> None:
        self.assertTrue(data == self.files.big.read_bytes()[data_offset(self.files.big):], "wrong bytes")

    def assert_target_is_the_model(self) -> None:
        names = sorted(path.name for path in self.target.iterdir() if path.is_file())
        self.assertEqual(names, sorted(self.files.sizes()))
        for name in names:
            self.assertEqual(harness.sha256(self.target / name), harness.sha256(self.files.model / name), name)

    def test_health_and_ls(self) -> None:
        self.cli_succeeds("health", server=self.server)
        models = {model["name"]: model for model in self.cli_json("ls", server=self.server)}
        self.assertLessEqual({"model", "metadata"}, models.keys())
        self.assertTrue(all(model["ready"] and model["generation"] for model in models.values()), models)
        tensors = {tensor["name"]: tensor for tensor in self.cli_json("ls", "model", server=self.server)}
        self.assertEqual(sorted(tensors), sorted([*self.files.tensors, "big"]))
        for name, tensor in self.files.tensors.items():
            found = tensors[name]
            self.assertEqual((found["dtype"], tuple(found["shape"]), found["size_bytes"], found["file"]),
                             (tensor.dtype, tensor.shape, len(tensor.data), "small.safetensors"))
        for flags in (("--prefix", "dtypes."), ("--glob", "dtypes.*")):
            found = self.cli_json("ls", "model", *flags, server=self.server)
            self.assertEqual(len(found), len(DTYPE_BITS), flags)

    def test_info(self) -> None:
        info = self.cli_json("info", "model", server=self.server)
        self.assertEqual({file["name"]: file["size_bytes"] for file in info["files"]}, self.files.sizes())
        kinds = {file["name"]: file["kind"] for file in info["files"]}
        self.assertEqual((kinds["big.safetensors"], kinds["model.safetensors.index.json"], kinds["config.json"]),
                         ("safetensors", "index", "companion"))
        tensor = self.cli_json("info", "model", "rows", server=self.server)
        self.assertEqual((tensor["dtype"], tensor["shape"]), ("F32", [700, 1000]))

    def test_tokens_are_those_of_the_other_release(self) -> None:
        # Otherwise a fetch could not fail over from a server of one release to a server of the other.
        other = self.start_server(self.client)
        infos = [self.cli_json("info", "model", server=server) for server in (self.server, other)]
        tokens = [(info["generation"], info["tree_digest"], [file["digest"] for file in info["files"]])
                  for info in infos]
        self.assertEqual(*tokens)

    def test_get_whole_tensors(self) -> None:
        for name, tensor in self.files.tensors.items():
            self.assertTrue(self.get(name) == tensor.data, f"{name} has wrong bytes")
        self.assert_is_big(self.get("big"))
        self.assert_is_big(self.get("big", "--connections", "3"))

    def test_get_slices(self) -> None:
        for name, text, key in (("rows", "[3:690:7, 100:]", (slice(3, 690, 7), slice(100, None))),
                                ("rows", "[:, -1]", (slice(None), -1)), ("none", "[:, 2]", (slice(None), 2)),
                                ("dtypes.U16", "[1, ::2, 3:1]", (1, slice(None, None, 2), slice(3, 1)))):
            expected = self.files.tensors[name].array()[key]
            found = numpy.load(io.BytesIO(self.get(name, "--slice", text, name="x.npy")))
            self.assertEqual((found.dtype, found.shape, found.tobytes()),
                             (expected.dtype, expected.shape, expected.tobytes()), f"{name}{text}")

    def test_get_formats(self) -> None:
        for dtype in NUMPY_DTYPES:
            tensor: TensorToWrite = self.files.tensors[f"dtypes.{dtype}"]
            found = numpy.load(io.BytesIO(self.get(tensor.name, name="x.npy")))
            self.assertEqual((found.shape, found.tobytes()), (tensor.shape, tensor.data), dtype)
        self.assertTrue(self.get("rows", name="x.safetensors").endswith(self.files.tensors["rows"].data))
        stdout = self.cli_succeeds("get", "model", "rows", "-o", "-", server=self.server)
        self.assertTrue(stdout == self.files.tensors["rows"].data)

    def test_errors_keep_their_exit_code(self) -> None:
        self.cli_fails(1, ('"no.model"',), "ls", "no.model", server=self.server)
        self.cli_fails(1, ('"no.tensor"',), "get", "model", "no.tensor", "-o", self.target, server=self.server)
        self.cli_fails(1, ("dimension 0",), "get", "model", "rows", "--slice", "[700]", "-o", self.target,
                       server=self.server)
        self.assertFalse(self.target.exists())

    def test_metadata_larger_than_a_message(self) -> None:
        (info,) = self.cli_json("info", "metadata", server=self.server)["files"]
        self.assertTrue(info["metadata"] == LARGE_METADATA, "wrong metadata")
        self.cli_succeeds("ls", "metadata", server=self.server)
        self.cli_succeeds("pull", "metadata", self.target, server=self.server)
        self.assertEqual(harness.sha256(self.target / "m.safetensors"),
                         harness.sha256(self.files.root / "metadata/m.safetensors"))

    def test_bench(self) -> None:
        found = self.cli_json("bench", "model", "--rounds", "1", "--latency-reads", "5", server=self.server)
        self.assertEqual(found["bytes"], BIG_BYTES + sum(len(tensor.data) for tensor in self.files.tensors.values()))

    def test_pull_twice(self) -> None:
        times = []
        for _ in range(2):
            self.cli_succeeds("pull", "model", self.target, server=self.server)
            self.assert_target_is_the_model()
            times.append({name: (self.target / name).stat().st_mtime_ns for name in self.files.sizes()})
        self.assertEqual(*times, "the second pull wrote files")

    def interrupt_pull(self, bin_dir: pathlib.Path) -> None:
        """Stops a pull by the client of `bin_dir` in the middle of the large file."""
        with StallingProxy(self.server.address, MIDDLE_BYTES) as proxy:
            pull = self.start_cli("pull", "model", self.target, "--server", proxy.address, bin_dir=bin_dir)
            self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
            pull.send_signal(signal.SIGTERM)
            _, stderr = pull.communicate(timeout=harness.PATIENCE_SECONDS)
        self.assertEqual(pull.returncode, 1, stderr)
        self.assertFalse((self.target / "big.safetensors").exists())

    def test_interrupted_pull_resumes(self) -> None:
        self.interrupt_pull(self.client)
        with CuttingProxy(self.server.address, []) as proxy:
            self.cli_succeeds("pull", "model", self.target, "--server", proxy.address)
            self.assertLess(proxy.passed_bytes, sum(self.files.sizes().values()) - MIDDLE_BYTES + SLACK_BYTES)
        self.assert_target_is_the_model()

    def test_pull_that_the_other_release_began_is_completed(self) -> None:
        # It resumes or starts again: the state of another version is read or discarded, never guessed.
        self.interrupt_pull(self.other_client)
        self.cli_succeeds("pull", "model", self.target, server=self.server)
        self.assert_target_is_the_model()

    def test_model_that_the_other_release_pulled_stays(self) -> None:
        with programs_of(self.other_client):
            result = harness.run_program(harness.cli_command("pull", "model", self.target, "--server",
                                                             self.server.address))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.cli_succeeds("pull", "model", self.target, server=self.server)
        self.assert_target_is_the_model()

    def fail_over(self, second: harness.Server, *args: object) -> None:
        """Runs a command whose server `self.server` is killed in the middle, and which continues at `second`."""
        with StallingProxy(self.server.address, MIDDLE_BYTES) as proxy:
            program = self.start_cli(*args, "--server", f"{proxy.address},{second.address}", "--connections", "1")
            self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
            self.server.kill()
            _, stderr = program.communicate(timeout=harness.PATIENCE_SECONDS)
        text = harness.stderr_text(stderr)
        self.assertEqual(program.returncode, 0, text)
        self.assertIn(proxy.address, text, "stderr does not name the first server")

    def test_fetch_moves_to_a_server_of_the_other_release(self) -> None:
        for first, second in ((THIS, previous()), (previous(), THIS)):
            with self.subTest(first=str(first), second=str(second)):
                self.server = self.start_server(first)
                output = self.directory / "x"
                self.fail_over(self.start_server(second), "get", "model", "big", "-o", output)
                self.assert_is_big(output.read_bytes())
                output.unlink()

    def test_pull_moves_to_a_server_of_the_other_release(self) -> None:
        for first, second in ((THIS, previous()), (previous(), THIS)):
            with self.subTest(first=str(first), second=str(second)):
                self.server = self.start_server(first)
                self.fail_over(self.start_server(second), "pull", "model", self.target)
                self.assert_target_is_the_model()
                shutil.rmtree(self.target)

    def test_fetch_is_striped_over_servers_of_both(self) -> None:
        addresses = [self.start_server(bin_dir).address for bin_dir in (THIS, previous())]
        self.assert_is_big(self.get("big", "--connections", "4", addresses=",".join(addresses)))


class ThisClientWithPreviousServerTest(CompatibilityTests, harness.EndToEndTest):
    """A client that is updated before its server."""

    def setUp(self) -> None:
        self.client, self.server_programs = THIS, previous()
        super().setUp()


class PreviousClientWithThisServerTest(CompatibilityTests, harness.EndToEndTest):
    """A server that is updated before its client."""

    def setUp(self) -> None:
        self.client, self.server_programs = previous(), THIS
        super().setUp()


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    for _, reason in result.skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    if result.skipped and result.testsRun == 0:
        sys.exit(77)  # ctest reports this as skipped
    sys.exit(not result.wasSuccessful())
