# SPDX-License-Identifier: Apache-2.0
"""Settings of tensorferryd from flags, environment and config file, and its messages about them."""

import os
import subprocess
import unittest
import unittest.mock

import numpy

import harness
import stock_client
from stock_client import pb
from tensor_files import make_tensor, write_safetensors


class ConfigTest(harness.EndToEndTest):
    """Every test has a root with one good model and a bad one."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(self.root / "good" / "m.safetensors", [make_tensor("t", "U8", (9,), generator)])
        (self.root / "bad\nname.safetensors").write_bytes(b"bad")
        self.config = self.directory / "config.toml"

    def check(self, *args: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        return harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--check-config", *map(str, args)], env=env)

    def check_finds(self, text: str, *args: object, env: dict[str, str] | None = None) -> None:
        result = self.check(*args, env=env)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn(text, result.stdout.decode())
        self.assertIn("the server could start\n", result.stdout.decode())

    def check_fails(self, code: int, named: tuple[str, ...], *args: object, env: dict[str, str] | None = None) -> None:
        self.assert_one_line_error(self.check(*args, env=env), code, *named)

    def test_flags_go_before_the_environment_and_that_before_the_file(self) -> None:
        roots = {name: self.directory / name for name in ("by-flag", "by-environment", "by-file")}
        for root in roots.values():
            root.mkdir()
        self.config.write_text(f'root = "{roots["by-file"]}"\nworkers = 3\n')
        config = ("--config", self.config)
        environment = {"TENSORFERRYD_ROOT": str(roots["by-environment"])}
        self.check_finds("by-file", *config)
        self.check_finds("by-environment", *config, env=environment)
        self.check_finds("by-flag", *config, "--root", roots["by-flag"], env=environment)
        self.check_finds("by-flag", *config, "--root", roots["by-flag"])
        # The file by the environment, too, which a flag overrides.
        self.check_finds("by-file", env={"TENSORFERRYD_CONFIG": str(self.config)})
        self.check_finds("by-file", *config, env={"TENSORFERRYD_CONFIG": "/no/such/file"})

    def test_server_has_variables_of_its_own(self) -> None:
        root = ("--root", self.root / "good")
        # The client's, which mean something else, and some that nobody has.
        of_others = {"TENSORFERRY_LISTEN": "nonsense", "TENSORFERRY_ADMIN_LISTEN": "nonsense",
                     "TENSORFERRY_CONFIG": "/no/such/file", "TENSORFERRY_WORKERS": "0",
                     "TENSORFERRY_TLS_CERT": "none.pem", "TENSORFERRY_TOKEN_FILE": "none"}
        self.check_finds("2 models", *root, env=of_others)
        for variable, value in of_others.items():
            result = self.check(*root, env={variable.replace("TENSORFERRY_", "TENSORFERRYD_"): value})
            self.assertNotEqual(result.returncode, 0, variable)
        server = [str(harness.BIN_DIR / "tensorferryd"), *map(str, root)]
        result = harness.run_program(server, env={"TENSORFERRYD_LISTEN": "nonsense"})
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn('"nonsense"', result.stderr.splitlines()[-1])
        socket = self.directory / "socket"
        environment = os.environ | of_others | {"TENSORFERRYD_LISTEN": f"unix:{socket}"}
        with subprocess.Popen(server, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            self.addCleanup(process.kill)
            self.assertEqual(process.stdout.readline().decode(), f"tensorferryd listening on unix:{socket}\n")
            process.terminate()
        self.assertEqual(process.returncode, 0)

    def test_old_names_of_flags_are_refused(self) -> None:
        root = ("--root", self.root / "good")
        for flag in ("--rescan-interval=1", "--max-pinned-bytes=1", "--fingerprint=full"):
            name, value = flag.removeprefix("--").split("=")
            self.check_fails(2, (f'no flag "--{name}"',), *root, flag)
            self.config.write_text(f'{name} = "{value}"\n')
            self.check_fails(2, (f'"{name}"',), *root, "--config", self.config)
        for kind in ("sampled", "none"):
            self.check_fails(2, ("--verify", kind, "headers"), *root, "--verify", kind)
        self.check_finds("2 models", *root, "--scan-interval=1", "--max-in-flight-bytes=1", "--verify=headers")

    def test_sizes_have_suffixes_wherever_they_come_from(self) -> None:
        root = ("--root", self.root / "good")
        for size in ("0", "1", "64KiB", "8k", "100MiB", "1m", "4GiB", "2TiB", "1024TiB", "1125899906842624"):
            self.check_finds("2 models", *root, "--max-in-flight-bytes", size)
            self.check_finds("2 models", *root, env={"TENSORFERRYD_MAX_IN_FLIGHT_BYTES": size})
            self.config.write_text(f"max-in-flight-bytes = {size}\n")
            self.check_finds("2 models", *root, "--config", self.config)
        for size in ("4MiB", "3145729", "3.5KiB", "1KiB", "4095", "-64KiB", "64KiBs", "64 apples", "KiB", "1XiB",
                     "99999999999TiB", "99999999999999999999", "x"):
            named = ("--chunk-bytes", size, "4KiB to 3MiB", "GiB")
            self.check_fails(2, named, *root, f"--chunk-bytes={size}")
            self.check_fails(2, named, *root, env={"TENSORFERRYD_CHUNK_BYTES": size})
            self.config.write_text(f'chunk-bytes = "{size}"\n')
            self.check_fails(2, named, *root, "--config", self.config)

    def test_size_with_a_suffix_counts_bytes(self) -> None:
        root = self.directory / "large"
        generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(root / "m.safetensors", [make_tensor("t", "U8", (1 << 20,), generator)])
        self.config.write_text('chunk-bytes = "64KiB"\n')
        with unittest.mock.patch.dict(os.environ, {"TENSORFERRYD_CHUNK_BYTES": "64KiB"}):
            by_environment = self.serve(root)
        for server in (by_environment, self.serve(root, "--chunk-bytes=64KiB"),
                       self.serve(root, "--config", str(self.config))):
            stream = stock_client.connect(server.address).GetFile(
                pb.GetFileRequest(model="m.safetensors", file="m.safetensors"))
            self.assertEqual(max(len(message.chunk.data) for message in stream), 64 << 10)

    def test_what_the_file_says_wrongly_is_told(self) -> None:
        for line, named in (("worker = 3", 'config file: no flag "worker"; did you mean workers?'), ("[section]\nworkers = 3", '"section.workers"'),
                            ("workers = 0", "--workers"), ("help = true", '"help"'),
                            ("check-config = true", '"check-config"'), ('io = "fast"', "--io")):
            self.config.write_text(line + "\n")
            self.check_fails(2, (named,), "--config", self.config, "--root", self.root)
        self.check_fails(2, (str(self.directory / "none"),), "--config", self.directory / "none", "--root", self.root)
        missing = {"TENSORFERRYD_CONFIG": str(self.directory / "none")}
        self.check_fails(2, (str(self.directory / "none"),), "--root", self.root, env=missing)

    def test_check_tells_of_the_models(self) -> None:
        self.check_finds("2 models can be served", "--root", self.root / "good")  # the directory and the file
        result = self.check("--root", self.root)
        self.assertEqual(result.returncode, 0)
        self.assertIn("bad\\u{a}name.safetensors", result.stdout.decode())
        self.assertIn("tokens: none", result.stdout.decode())

    def test_check_finds_what_a_start_would_by_what_is_verified(self) -> None:
        good = ("--root", self.root / "good")
        (self.root / "good" / "m.safetensors.sha256").write_text("0" * 64 + "  m.safetensors\n")
        self.check_finds("2 models can be served", *good)
        self.check_finds("0 models can be served", *good, "--verify=full")

    def test_check_tells_what_would_fail(self) -> None:
        root = ("--root", self.root)
        tokens = self.directory / "tokens"
        tokens.write_text("only-a-name\n")
        for named, args in ((("missing",), ("--root", self.directory / "missing")),
                            (("0.0.0.0:1", "--insecure"), (*root, "--listen", "0.0.0.0:1")),
                            (('"nonsense"',), (*root, "--listen", "nonsense")),
                            (('"unix:x"', "admin"), (*root, "--admin-listen", "unix:x")),
                            (("tokens", "line 1"), (*root, "--token-file", tokens, "--insecure")),
                            (("none.pem",), (*root, "--tls-cert", "none.pem", "--tls-key", "none.pem"))):
            result = self.check(*args)
            self.assertEqual(result.returncode, 1, (args, result.stderr))
            self.assertIn("the server could not start\n", result.stdout.decode())
            for text in named:
                self.assertIn(text, result.stderr)
        self.check_fails(2, ("--workers", "257", "1 to 256"), *root, "--workers", "257")
        self.check_fails(2, ("--log-level", "loud", "warning"), *root, "--log-level", "loud")


if __name__ == "__main__":
    unittest.main()
