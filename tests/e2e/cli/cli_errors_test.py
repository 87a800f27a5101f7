# SPDX-License-Identifier: Apache-2.0
"""Every failure of `tensorferry` prints one line on stderr that names the cause, and leaves no incomplete file."""

import os
import shutil
import signal
import socket
import subprocess
import unittest

import numpy

import harness
from stalling_proxy import StallingProxy
from tensor_files import make_tensor, write_big_file, write_safetensors

BIG_BYTES = 32 << 20
FORMATS = ("x.raw", "x.npy", "x.safetensors")


class CliErrorsTest(harness.EndToEndTest):
    """A model with a small tensor, one with a big tensor, and an empty directory for outputs."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(self.root / "small.safetensors", [make_tensor("s", "F32", (8, 4), generator)])
        write_big_file(self.root / "big.safetensors", "big", BIG_BYTES, generator)
        (self.root / "bad.safetensors").write_bytes(b"bad")
        self.out = self.directory / "out"
        self.out.mkdir()
        self.server = self.serve(self.root)

    def assert_nothing_written(self) -> None:
        self.assertEqual(list(self.out.iterdir()), [])

    def test_wrong_model_or_tensor_is_named(self) -> None:
        for args, named in ((("get", "none", "s", "-o", self.out / "x"), '"none"'),
                            (("get", "small.safetensors", "none", "-o", self.out / "x"), '"none"'),
                            (("get", "bad.safetensors", "s", "-o", self.out / "x"), '"bad.safetensors"'),
                            (("ls", "none"), '"none"'), (("info", "none"), '"none"'), (("bench", "none"), '"none"'),
                            (("info", "small.safetensors", "none"), '"none"'), (("ls", "bad.safetensors"), "3 bytes"),
                            (("pull", "none", self.out / "x"), '"none"')):
            self.cli_fails(1, (named, self.server.address), *args, server=self.server)
        self.assert_nothing_written()

    def test_slice_that_does_not_fit_is_named(self) -> None:
        for text, named in (("[8]", "dimension 0"), ("[0, -5]", "dimension 1"), ("[0, 0, 0]", "3 entries"),
                            ("[::0]", "dimension 0: step 0"), ("[:, ::-1]", "dimension 1: step -1")):
            for name in FORMATS:
                self.cli_fails(1, ('"s"', named), "get", "small.safetensors", "s", "--slice", text, "-o",
                               self.out / name, server=self.server)
        self.assert_nothing_written()

    def test_malformed_command_lines_are_wrong_usage(self) -> None:
        get = ("get", "small.safetensors", "s", "-o", self.out / "x")
        for args, named in (((*get, "--slice", "[1:x]"), "--slice"), ((*get, "--slice", "[1"), "--slice"),
                            ((*get, "--slice", "[::2:3]"), "--slice"), ((*get, "--slice", "[1.5]"), "1.5"),
                            ((*get, "--format", "hdf5"), "--format"),
                            ((*get, "--connections", "65"), "--connections"), ((*get, "--timeout", "nan"), "--timeout"),
                            ((*get, "--timeout", "-1"), "--timeout"), (get[:-2], "--output"), (("get",), "MODEL"),
                            ((*get[:-1], ""), "-o"), (("nonsense",), "nonsense"), ((), "give a command"),
                            (("ls", "--prefix", "a"), "MODEL"), (("pull", "small.safetensors"), "DIR"),
                            (("check",), "PATH"), (("bench", "small.safetensors", "--rounds", "0"), "--rounds")):
            with self.subTest(args=args):
                self.cli_fails(2, (named,), *args, env={"TENSORFERRY_SERVER": self.server.address})
        self.assert_nothing_written()

    def test_unknown_flag_or_command_suggests_the_nearest_name(self) -> None:
        for args, named in ((("ls", "--max-stream", "3"), 'no flag "--max-stream" (see: tensorferry ls --help)'),
                            (("ls", "--timout", "3"), 'no flag "--timout"; did you mean --timeout?'),
                            (("get", "--slise=[0]"), 'no flag "--slise"; did you mean --slice?'),
                            (("pul", "a", "b"), 'no command "pul"; did you mean pull?'),
                            (("info", "a", "b", "c"), 'unexpected argument "c"'), (("--versio",), "--version")):
            with self.subTest(args=args):
                self.cli_fails(2, (named,), *args)

    def test_times_take_units(self) -> None:
        for text in ("20", "20s", "20000ms", "1m", "1h", "1m30s"):
            self.cli_succeeds("ls", "--timeout", text, "--connect-timeout", text, server=self.server)
            self.cli_succeeds("health", "--timeout", text, server=self.server)
        for text in ("5x", "s", "inf", "-1s", "1e10"):
            self.cli_fails(2, ("--timeout", f'"{text}"', "5s"), "ls", f"--timeout={text}", server=self.server)

    def test_server_that_is_no_address_is_wrong_usage(self) -> None:
        for address in (f"http://{self.server.address}", "https://localhost"):
            for command in ("ls", "health"):
                self.cli_fails(2, ("--server", "give host:port or tensorferry://host:port"), command, "--server", address)
        self.cli_fails(2, ("--server", "empty"), "ls", "--server", f"{self.server.address},")

    def test_server_without_a_port_has_the_default_port(self) -> None:
        for address in ("127.0.0.99", "tensorferry://127.0.0.99"):
            self.cli_fails(1, ("127.0.0.99:7070",), "ls", "--server", address)
        self.cli_succeeds("ls", "--server", f"tensorferry://{self.server.address}")

    def test_admin_port_given_as_server_is_named(self) -> None:
        server = self.serve(self.root, "--admin-listen", "127.0.0.1:0")
        self.cli_fails(1, ("admin port", server.admin), "ls", "--server", server.admin)

    def test_token_file_of_a_server_is_refused_by_name(self) -> None:
        tokens = self.directory / "tokens"
        tokens.write_text("rank-0 0123456789abcdef0123456789abcdef\n")
        self.cli_fails(1, (str(tokens), "NAME TOKEN"), "ls", "--token-file", tokens, server=self.server)

    def test_check_of_another_kind_of_file_says_so(self) -> None:
        config = self.directory / "config.json"
        config.write_text('{"model_type": "sample", "hidden_size": 512}')
        result = self.run_cli("check", config)
        self.assert_one_line_error(result, 1, "1 of 1 bad")
        self.assertIn("not a safetensors file", result.stdout.decode())

    def test_pull_into_a_file_says_that_it_needs_a_directory(self) -> None:
        output = self.directory / "w.npy"
        output.write_text("")
        self.cli_fails(1, (f'"{output}" is a file; pull needs a directory',), "pull", "small.safetensors", output,
                       server=self.server)

    def test_place_that_cannot_be_written_is_named(self) -> None:
        (self.directory / "file").write_text("")
        for name in FORMATS:
            for place in (self.directory / "no/such" / name, self.directory / "file" / name):
                self.cli_fails(1, (str(place),), "get", "small.safetensors", "s", "-o", place, server=self.server)
        self.cli_fails(1, (str(self.out),), "get", "small.safetensors", "s", "-o", self.out, server=self.server)
        self.cli_fails(1, (str(self.directory / "file"),), "pull", "small.safetensors", self.directory / "file",
                       server=self.server)
        self.assert_nothing_written()

    def test_server_that_is_not_there_is_named(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # never listens
            port = unused.getsockname()[1]
            for address in (f"127.0.0.1:{port}", f"unix:{self.directory}/no-socket", "no-such-host.invalid:1"):
                for args in (("ls",), ("get", "small.safetensors", "s", "-o", self.out / "x"), ("info", "a"),
                             ("pull", "small.safetensors", self.out / "x"), ("bench", "small.safetensors")):
                    self.cli_fails(1, (address,), *args, "--server", address)
        self.assert_nothing_written()

    def test_server_that_speaks_something_else_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            with subprocess.Popen(harness.cli_command("ls", "--server", address, "--connect-timeout", "30"),
                                  stderr=subprocess.PIPE) as program:
                peer, _ = listener.accept()
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                peer.close()
                listener.close()
                stderr = harness.stderr_text(program.communicate(timeout=harness.PATIENCE_SECONDS)[1])
        self.assert_one_line_error(subprocess.CompletedProcess((), program.returncode, None, stderr), 1, address)

    def test_server_killed_in_the_middle_of_a_get_is_named(self) -> None:
        for name in FORMATS:
            with self.subTest(name):
                server = harness.Server(self.root)
                self.addCleanup(server.stop)
                with StallingProxy(server.address, BIG_BYTES // 2) as proxy:
                    program = self.start_get(proxy.address, self.out / name, "--retries", "0")
                    self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
                    server.kill()
                    self.assert_ends_with_error(program, proxy.address, '"big"')
                self.assert_nothing_written()

    def start_get(self, address: str, output: object, *options: str) -> subprocess.Popen:
        return subprocess.Popen(harness.cli_command("get", "big.safetensors", "big", "-o", output, "--server", address,
                                                    *options), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def assert_ends_with_error(self, program: subprocess.Popen, *named: str) -> None:
        stderr = harness.stderr_text(program.communicate(timeout=harness.PATIENCE_SECONDS)[1])
        self.assert_one_line_error(subprocess.CompletedProcess((), program.returncode, None, stderr), 1, *named)

    def test_signal_in_the_middle_of_a_get_leaves_nothing(self) -> None:
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(how.name), StallingProxy(self.server.address, BIG_BYTES // 2) as proxy:
                program = self.start_get(proxy.address, self.out / "x.raw")
                self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
                program.send_signal(how)
                self.assert_ends_with_error(program, "interrupted")
                self.assert_nothing_written()

    def test_timeout_in_the_middle_is_reported_with_the_progress(self) -> None:
        for name in FORMATS:
            with self.subTest(name), StallingProxy(self.server.address, BIG_BYTES // 2) as proxy:
                program = self.start_get(proxy.address, self.out / name, "--timeout", "8" if harness.SANITIZED else "2")
                self.assert_ends_with_error(program, proxy.address, '"big"', "timed out after", " of 3")
                self.assert_nothing_written()

    def test_server_that_does_not_answer_in_time_is_reported(self) -> None:
        self.server.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.server.process.send_signal, signal.SIGCONT)
        for option in ("--timeout", "--connect-timeout"):
            for args in (("get", "big.safetensors", "big", "-o", self.out / "x"), ("ls",),
                         ("pull", "big.safetensors", self.out / "y")):
                self.cli_fails(1, (self.server.address, "no answer within"), *args, option, "0.5", server=self.server)
        self.assert_nothing_written()
        self.server.process.send_signal(signal.SIGCONT)
        self.cli_succeeds("get", "big.safetensors", "big", "-o", self.out / "x", server=self.server)

    def test_full_disk_is_named_with_the_file(self) -> None:
        if os.getuid() != 0:
            self.skipTest("only root can mount a small tmpfs")
        disk = self.directory / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True,
                                 text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a small tmpfs: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", disk], check=True)
        for name in FORMATS:
            self.cli_fails(1, (str(disk / name), "No space left on device"), "get", "big.safetensors", "big", "-o",
                           disk / name, server=self.server)
            self.assertEqual(list(disk.iterdir()), [])
        # A pull keeps its bytes in a partial file, to resume.
        target = disk / "pulled"
        self.cli_fails(1, (str(target), "No space left on device"), "pull", "big.safetensors", target,
                       server=self.server)
        self.assertEqual([path.name for path in target.iterdir()], [".tensorferry"])
        shutil.rmtree(target)
        self.cli_succeeds("get", "small.safetensors", "s", "-o", disk / "s", server=self.server)

    def test_file_size_limit_is_named_with_the_file(self) -> None:
        # Like a disk that becomes full in the middle: the write fails, not the reservation.
        limited = ["sh", "-c", 'ulimit -f 4096 && exec "$@"', "sh"]
        for name in FORMATS:
            result = harness.run_program(limited + harness.cli_command(
                "get", "big.safetensors", "big", "-o", self.out / name, "--server", self.server.address))
            self.assert_one_line_error(result, 1, str(self.out / name), "File too large")
            self.assert_nothing_written()
        target = self.directory / "pulled"
        result = harness.run_program(limited + harness.cli_command("pull", "big.safetensors", target, "--server",
                                                                   self.server.address))
        self.assert_one_line_error(result, 1, str(target), "File too large", "rerun to resume")
        self.assertEqual([path.name for path in target.iterdir()], [".tensorferry"])
        self.assertIn(b"resumed at ", self.cli_succeeds("pull", "big.safetensors", target, server=self.server))
        self.assertEqual(harness.sha256(target / "big.safetensors"), harness.sha256(self.root / "big.safetensors"))

    def test_full_stdout_is_reported(self) -> None:
        with open("/dev/full", "wb") as full:
            for args in (("get", "small.safetensors", "s", "-o", "-"), ("ls",), ("info", "small.safetensors"),
                         ("get", "big.safetensors", "big", "-o", "-")):
                self.cli_fails(1, ("standard output", "No space left on device"), *args, server=self.server,
                               stdout=full)
        self.cli_fails(1, ("/dev/full", "No space left on device"), "get", "small.safetensors", "s", "-o", "/dev/full",
                       server=self.server)

    def test_file_changed_in_place_under_a_stream_is_reported(self) -> None:
        with StallingProxy(self.server.address, BIG_BYTES // 2) as proxy:
            program = self.start_get(proxy.address, self.out / "x.raw", "--retries", "0")
            self.assertTrue(proxy.stalled.wait(harness.PATIENCE_SECONDS))
            with open(self.root / "big.safetensors", "r+b") as file:
                file.seek(-(1 << 20), os.SEEK_END)
                file.write(bytes(1 << 20))
            proxy.cut()
            self.assert_ends_with_error(program, '"big"')
        self.assert_nothing_written()
        # The server loads the changed file.
        harness.wait_until(
            lambda: self.run_cli("get", "big.safetensors", "big", "-o", self.out / "y", server=self.server).returncode == 0,
            "the changed file")
        self.assertTrue((self.out / "y").read_bytes().endswith(bytes(1 << 20)))


if __name__ == "__main__":
    unittest.main()
