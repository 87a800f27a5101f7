# SPDX-License-Identifier: Apache-2.0
"""Interrupted transfers resume at the same byte, also at another server, and never mix two versions."""

import pathlib
import re
import shutil
import signal
import subprocess
import unittest

import numpy

import harness
from cutting_proxy import CuttingProxy
from stalling_proxy import StallingProxy
from tensor_files import data_offset, write_big_file

REPLICA_BYTES = 32 << 20
CUTS = 20


class ResumeTest(harness.EndToEndTest):
    """A directory to serve and a directory for outputs."""

    def setUp(self) -> None:
        super().setUp()
        self.random = harness.random_source(self.id())
        self.generator = numpy.random.default_rng(harness.SEED)
        self.root = self.directory / "root"
        self.out = self.directory / "out"
        self.out.mkdir()

    def start(self, *args: object) -> subprocess.Popen:
        program = subprocess.Popen(harness.cli_command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def end_of(self, program: subprocess.Popen) -> tuple[int, bytes, list[str]]:
        """Returns the exit code, stdout and the lines of stderr. The lines about retries are checked and left out."""
        stdout, stderr = program.communicate(timeout=harness.PATIENCE_SECONDS)
        lines = harness.stderr_text(stderr).splitlines()
        self.retries = [line for line in lines if "trying again" in line]
        for line in self.retries:
            self.assertRegex(line, r'\Atensorferry: server "[^"]+": .*; trying again in \d+\.\d s\Z')
        return program.returncode, stdout, [line for line in lines if line not in self.retries]

    def assert_holds_the_tensor(self, path: pathlib.Path, model: pathlib.Path) -> None:
        with open(path, "rb") as got, open(model, "rb") as source:
            source.seek(data_offset(model))
            while expected := source.read(1 << 22):
                self.assertTrue(got.read(1 << 22) == expected, f"{path} differs before byte {got.tell()}")
            self.assertEqual(got.read(1), b"")

    def test_tensor_survives_killed_connections_and_servers(self) -> None:
        size = 256 << 20
        if not harness.SANITIZED and shutil.disk_usage(self.directory).free > 8 << 30:
            size = 1 << 30
        model = self.root / "big.safetensors"
        write_big_file(model, "big", size, self.generator)
        server = harness.Server(self.root)
        cuts = [self.random.randrange(1 << 20, size // CUTS) for _ in range(CUTS + 2)]
        with CuttingProxy(server.address, cuts) as proxy:
            program = self.start("get", "big.safetensors", "big", "-o", self.out / "x", "--server", proxy.address)
            for share in (3, 6):
                harness.wait_until(lambda: proxy.passed_bytes >= size * share // 9 or program.poll() is not None,
                                   f"{share}/9 of the tensor")
                self.assertIsNone(program.poll(), "the command ended early")
                server.kill()
                server.stop()
                server = harness.Server(self.root, listen=server.address)
            self.addCleanup(server.stop)
            code, _, last_words = self.end_of(program)
            self.assertEqual((code, last_words), (0, []))
            self.assert_holds_the_tensor(self.out / "x", model)
            # Two connections ended with the killed servers.
            self.assertGreaterEqual(proxy.cut_count, CUTS)
            self.assertGreaterEqual(len(self.retries), proxy.cut_count + 2)
            # A chunk is 1 MiB, and a killed connection loses the bytes in flight: 4 MiB at most.
            self.assertLess(proxy.passed_bytes, size * 1.01 + (proxy.cut_count + 4) * (6 << 20))

    def test_pull_retries_and_resumes(self) -> None:
        write_big_file(self.root / "m/a.safetensors", "a", REPLICA_BYTES, self.generator)
        (self.root / "m/config.json").write_text("{}")
        server = self.serve(self.root)
        with CuttingProxy(server.address, [self.random.randrange(1 << 20, 6 << 20) for _ in range(5)]) as proxy:
            code, stdout, last_words = self.end_of(self.start("pull", "m", self.out, "--server", proxy.address))
        self.assertEqual((code, last_words, len(self.retries)), (0, [], 5))
        self.assertRegex(stdout.decode(), r"a\.safetensors: fetched \(32")
        for name in ("a.safetensors", "config.json"):
            self.assertEqual(harness.sha256(self.out / name), harness.sha256(self.root / "m" / name))

    def test_bytes_on_stdout_resume_at_the_same_byte(self) -> None:
        model = self.root / "m.safetensors"
        write_big_file(model, "t", REPLICA_BYTES, self.generator)
        server = self.serve(self.root)
        with CuttingProxy(server.address, [self.random.randrange(1 << 20, 6 << 20) for _ in range(5)]) as proxy:
            code, stdout, last_words = self.end_of(self.start("get", "m.safetensors", "t", "-o", "-", "--server",
                                                              proxy.address))
        self.assertEqual((code, last_words, len(self.retries)), (0, [], 5))
        self.assertTrue(stdout == model.read_bytes()[data_offset(model):])

    def test_signal_ends_the_wait_for_a_server(self) -> None:
        write_big_file(self.root / "m.safetensors", "t", REPLICA_BYTES, self.generator)
        server = self.serve(self.root)
        with StallingProxy(server.address, REPLICA_BYTES // 2) as proxy:
            program = self.start("get", "m.safetensors", "t", "-o", self.out / "x", "--server", proxy.address,
                                 "--retries", "1000000")
            self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
            proxy.cut()
            self.assertIn(b"trying again", program.stderr.readline())
            program.send_signal(signal.SIGINT)
            code, _, last_words = self.end_of(program)
        self.assertEqual((code, len(last_words)), (1, 1), last_words)
        self.assertIn("interrupted", last_words[0])
        self.assertEqual(list(self.out.iterdir()), [])

    def serve_two(self, *, same_bytes: bool) -> tuple[harness.Server, harness.Server]:
        """Starts two servers with separate roots. The inodes and times of their files differ."""
        other = self.directory / "other"
        write_big_file(self.root / "m/a.safetensors", "a", REPLICA_BYTES, self.generator)
        if same_bytes:
            (other / "m").mkdir(parents=True)
            shutil.copyfile(self.root / "m/a.safetensors", other / "m/a.safetensors")
        else:
            write_big_file(other / "m/a.safetensors", "a", REPLICA_BYTES, self.generator)
        return self.serve(self.root), self.serve(other)

    def start_and_kill_the_first(self, first: harness.Server, second: harness.Server,
                                 *args: object) -> subprocess.Popen:
        """Starts a command, and kills its first server after half of the bytes."""
        with StallingProxy(first.address, REPLICA_BYTES // 2) as proxy:
            program = self.start(*args, "--server", f"{proxy.address},{second.address}")
            self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
            first.kill()
            harness.wait_until(lambda: program.poll() is not None, "the command")
        return program

    def test_killed_server_moves_the_read_to_its_replica(self) -> None:
        first, second = self.serve_two(same_bytes=True)
        generations = {self.cli_json("info", "m", server=server)["generation"] for server in (first, second)}
        self.assertEqual(len(generations), 1)
        program = self.start_and_kill_the_first(first, second, "get", "m", "a", "-o", self.out / "x")
        code, _, last_words = self.end_of(program)
        self.assertEqual((code, last_words, len(self.retries)), (0, [], 1))
        self.assert_holds_the_tensor(self.out / "x", self.root / "m/a.safetensors")

    def test_replica_of_other_bytes_fails_and_leaves_nothing(self) -> None:
        first, second = self.serve_two(same_bytes=False)
        for name in ("x.raw", "x.npy", "x.safetensors"):
            program = self.start_and_kill_the_first(first, second, "get", "m", "a", "-o", self.out / name)
            code, _, last_words = self.end_of(program)
            self.assertEqual((code, len(last_words)), (1, 1), last_words)
            self.assertIn(second.address, last_words[0])
            self.assertIn("generation", last_words[0])
            self.assertEqual(list(self.out.iterdir()), [])
            first = self.serve(self.root)

    def test_replica_without_the_model_fails_and_leaves_nothing(self) -> None:
        first, _ = self.serve_two(same_bytes=True)
        second = self.serve(self.temporary_directory())
        program = self.start_and_kill_the_first(first, second, "get", "m", "a", "-o", self.out / "x")
        code, _, last_words = self.end_of(program)
        self.assertEqual((code, len(last_words)), (1, 1), last_words)
        self.assertIn(second.address, last_words[0])
        self.assertEqual(list(self.out.iterdir()), [])

    def test_dead_server_in_a_list_is_skipped(self) -> None:
        first, second = self.serve_two(same_bytes=True)
        first.kill()
        self.cli_succeeds("ls", "--server", f"{first.address},{second.address}")

    def test_server_that_stays_away_is_given_up_and_named(self) -> None:
        first, second = self.serve_two(same_bytes=True)
        second.kill()
        for retries in (0, 2):
            with StallingProxy(first.address, REPLICA_BYTES // 2) as proxy:
                program = self.start("get", "m", "a", "-o", self.out / "x", "--server", proxy.address, "--retries",
                                     retries)
                self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
                proxy.cut()
                code, _, last_words = self.end_of(program)
            self.assertEqual((code, len(last_words), len(self.retries)), (1, 1, retries), last_words)
            self.assertIn(proxy.address, last_words[0])
            self.assertEqual(bool(re.search("after 3 attempts", last_words[0])), retries == 2, last_words)
            self.assertEqual(list(self.out.iterdir()), [])

    def test_wrong_retries_are_wrong_usage(self) -> None:
        self.cli_fails(2, ("--retries",), "ls", "--retries", "-1")
        self.cli_fails(2, ("--retries", "many"), "ls", env={"TENSORFERRY_RETRIES": "many"})


if __name__ == "__main__":
    unittest.main()
