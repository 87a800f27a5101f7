# SPDX-License-Identifier: Apache-2.0
"""`tensorferry pull` skips files that are up to date, resumes interrupted files, and ends with identical copies."""

import re
import signal
import subprocess
import unittest

import numpy

import harness
from stalling_proxy import StallingProxy
from tensor_files import make_tensor, write_big_file, write_index, write_safetensors

BIG_BYTES = 64 << 20
MIDDLE_BYTES = 24 << 20


class CliPullTest(harness.EndToEndTest):
    """A model of two shards, an index and companions."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.model = self.root / "model"
        self.target = self.directory / "target"
        self.generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(self.model / "a.safetensors", [make_tensor("a", "F32", (300, 100), self.generator)])
        write_safetensors(self.model / "b.safetensors", [make_tensor("b", "BF16", (7, 9), self.generator)])
        write_index(self.model / "model.safetensors.index.json", {"a": "a.safetensors", "b": "b.safetensors"})
        (self.model / "config.json").write_text("{}")
        (self.model / "empty.txt").write_text("")
        (self.model / "notes.md").write_text("not a companion")

    def companions_and_weights(self) -> list[str]:
        return sorted(path.name for path in self.model.iterdir() if path.suffix != ".md")

    def pull(self, server: harness.Server, *options: str) -> dict[str, str]:
        """Pulls, and returns the line of each file."""
        lines = self.cli_succeeds("pull", "model", self.target, *options, server=server).decode().splitlines()
        return dict(line.split(": ", 1) for line in lines)

    def assert_identical(self) -> None:
        self.assertEqual(sorted(path.name for path in self.target.iterdir()),
                         [".tensorferry", *self.companions_and_weights()])
        for name in self.companions_and_weights():
            self.assertEqual(harness.sha256(self.target / name), harness.sha256(self.model / name), name)
        self.assertEqual([path.name for path in (self.target / ".tensorferry").iterdir() if ".part" in path.name], [])

    def test_second_pull_fetches_nothing_and_later_only_what_changed(self) -> None:
        server = self.serve(self.root)
        said = self.pull(server)
        self.assertEqual(sorted(said), self.companions_and_weights())
        self.assertTrue(all(text.startswith("fetched (") for text in said.values()), said)
        self.assert_identical()
        times = {name: (self.target / name).stat().st_mtime_ns for name in said}

        self.assertEqual(set(self.pull(server).values()), {"up to date"})
        server.stop()
        write_safetensors(self.model / "b.safetensors", [make_tensor("b", "BF16", (7, 9), self.generator)])
        said = self.pull(self.serve(self.root))
        self.assertEqual([name for name, text in said.items() if text != "up to date"], ["b.safetensors"])
        self.assert_identical()
        for name, time in times.items():
            self.assertEqual((self.target / name).stat().st_mtime_ns == time, name != "b.safetensors", name)

    def test_file_that_was_changed_here_is_fetched_again(self) -> None:
        server = self.serve(self.root)
        self.pull(server)
        (self.target / "config.json").write_text("[]")
        (self.target / "a.safetensors").unlink()
        said = self.pull(server)
        self.assertEqual(sorted(name for name, text in said.items() if text != "up to date"),
                         ["a.safetensors", "config.json"])
        self.assert_identical()

    def test_glob_takes_only_matching_files(self) -> None:
        server = self.serve(self.root)
        self.assertEqual(sorted(self.pull(server, "--glob", "*.json", "--glob", "b.*")),
                         ["b.safetensors", "config.json", "model.safetensors.index.json"])
        self.cli_fails(1, ('"model"', "--glob"), "pull", "model", self.directory / "none", "--glob", "*.onnx",
                       server=server)
        self.assertFalse((self.directory / "none").exists())

    def test_second_pull_into_the_same_directory_at_once_is_refused(self) -> None:
        write_big_file(self.model / "a.safetensors", "a", BIG_BYTES, self.generator)
        server = self.serve(self.root)
        with StallingProxy(server.address, MIDDLE_BYTES) as proxy:
            pull = self.start_pull_and_wait_for_middle(proxy)
            self.cli_fails(1, (str(self.target), "running"), "pull", "model", self.target, server=server)
            pull.kill()
            pull.communicate()

    def start_pull_and_wait_for_middle(self, proxy: StallingProxy, *options: str) -> subprocess.Popen:
        pull = subprocess.Popen(harness.cli_command("pull", "model", self.target, "--server", proxy.address, *options),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(pull.wait)
        self.addCleanup(pull.kill)
        part = self.target / ".tensorferry/a.safetensors.part"
        # All messages that passed the proxy, except the last few, are on disk soon.
        harness.wait_until(lambda: part.exists() and part.stat().st_size >= MIDDLE_BYTES - (8 << 20) or
                           pull.poll() is not None, f"{part}")
        self.assertIsNone(pull.poll(), "the pull ended early")
        return pull

    def check_resumes(self, server: harness.Server) -> None:
        """Checks that no incomplete file has its final name, and that the next pull resumes."""
        self.assertFalse((self.target / "a.safetensors").exists())
        part = self.target / ".tensorferry/a.safetensors.part"
        present = part.stat().st_size
        self.assertGreaterEqual(present, MIDDLE_BYTES - (8 << 20))
        with open(self.model / "a.safetensors", "rb") as file:
            self.assertTrue(part.read_bytes() == file.read(present), "the part is not the file's beginning")
        said = self.pull(server)
        found = re.match(r"resumed at (\d+), fetched", said["a.safetensors"])
        self.assertIsNotNone(found, said)
        # Only whole blocks are compared and kept.
        self.assertEqual(int(found[1]), present - present % (1 << 20))
        self.assert_identical()

    def test_pull_ended_in_the_middle_resumes(self) -> None:
        write_big_file(self.model / "a.safetensors", "a", BIG_BYTES, self.generator)
        server = self.serve(self.root)
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            with self.subTest(signal=how.name), StallingProxy(server.address, MIDDLE_BYTES) as proxy:
                self.target = self.directory / how.name
                pull = self.start_pull_and_wait_for_middle(proxy)
                pull.send_signal(how)
                stderr = harness.stderr_text(pull.communicate(timeout=harness.PATIENCE_SECONDS)[1])
                if how == signal.SIGKILL:
                    self.assertEqual((pull.returncode, stderr), (-signal.SIGKILL, ""))
                else:
                    result = subprocess.CompletedProcess((), pull.returncode, None, stderr)
                    self.assert_one_line_error(result, 1, "interrupted", '"a.safetensors"', "rerun to resume")
                self.check_resumes(server)

    def test_pull_whose_connection_breaks_resumes(self) -> None:
        write_big_file(self.model / "a.safetensors", "a", BIG_BYTES, self.generator)
        server = self.serve(self.root)
        with StallingProxy(server.address, MIDDLE_BYTES) as proxy:
            pull = self.start_pull_and_wait_for_middle(proxy, "--retries", "0")
            proxy.cut()
            stderr = harness.stderr_text(pull.communicate(timeout=harness.PATIENCE_SECONDS)[1])
        result = subprocess.CompletedProcess((), pull.returncode, None, stderr)
        self.assert_one_line_error(result, 1, proxy.address, '"a.safetensors"', "rerun to resume")
        self.check_resumes(server)

    def test_partial_file_of_an_older_version_is_not_resumed(self) -> None:
        write_big_file(self.model / "a.safetensors", "a", BIG_BYTES, self.generator)
        server = self.serve(self.root)
        with StallingProxy(server.address, MIDDLE_BYTES) as proxy:
            pull = self.start_pull_and_wait_for_middle(proxy)
            pull.kill()
            pull.communicate()
        server.stop()
        write_big_file(self.model / "a.safetensors", "a", BIG_BYTES, self.generator)
        said = self.pull(self.serve(self.root))
        self.assertTrue(said["a.safetensors"].startswith("fetched ("), said)
        self.assert_identical()


if __name__ == "__main__":
    unittest.main()
