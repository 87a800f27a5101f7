# SPDX-License-Identifier: Apache-2.0
"""What tensorferryd is told by flags, environment and config file, and what it says of that."""

import subprocess
import unittest

import numpy

import harness
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
        environment = {"TENSORFERRY_ROOT": str(roots["by-environment"])}
        self.check_finds("by-file", *config)
        self.check_finds("by-environment", *config, env=environment)
        self.check_finds("by-flag", *config, "--root", roots["by-flag"], env=environment)
        self.check_finds("by-flag", *config, "--root", roots["by-flag"])
        # The file by the environment, too, which a flag overrides.
        self.check_finds("by-file", env={"TENSORFERRY_CONFIG": str(self.config)})
        self.check_finds("by-file", *config, env={"TENSORFERRY_CONFIG": "/no/such/file"})

    def test_what_the_file_says_wrongly_is_told(self) -> None:
        for line, named in (("worker = 3", '"worker"'), ("[section]\nworkers = 3", '"section.workers"'),
                            ("workers = 0", "--workers"), ("help = true", '"help"'), ("check-config = true", '"check-config"'),
                            ('io = "fast"', "--io")):
            self.config.write_text(line + "\n")
            self.check_fails(2, (named,), "--config", self.config, "--root", self.root)
        self.check_fails(2, (str(self.directory / "none"),), "--config", self.directory / "none", "--root", self.root)
        missing = {"TENSORFERRY_CONFIG": str(self.directory / "none")}
        self.check_fails(2, (str(self.directory / "none"),), "--root", self.root, env=missing)

    def test_check_tells_of_the_models(self) -> None:
        self.check_finds("2 models can be served", "--root", self.root / "good")  # the directory and the file
        result = self.check("--root", self.root)
        self.assertEqual(result.returncode, 0)
        self.assertIn("bad\\u{a}name.safetensors", result.stdout.decode())
        self.assertIn("tokens: none", result.stdout.decode())

    def test_check_finds_what_a_start_would_by_the_kind_of_fingerprint(self) -> None:
        good = ("--root", self.root / "good")
        (self.root / "good" / "m.safetensors.sha256").write_text("0" * 64 + "  m.safetensors\n")
        self.check_finds("2 models can be served", *good)
        self.check_finds("0 models can be served", *good, "--fingerprint=full")

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
