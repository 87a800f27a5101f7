# SPDX-License-Identifier: Apache-2.0
"""`tensorferry` ls, info, check and bench print text that is safe on a terminal, and valid JSON."""

import json
import unittest

import numpy

import harness
from tensor_files import TensorToWrite, make_tensor, write_safetensors

ODD_NAMES = ["\x1b[2J\x07", "two\nlines", "\u202eright to left", 'quo"te\\', "tab\t", "\u65e5\u672c", ""]


class CliListTest(harness.EndToEndTest):
    """A root with a good file, a bad file and a directory whose tensors have unusual names."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(self.root / "one.safetensors", [
            make_tensor("layers.0.weight", "F32", (128, 64), self.generator),
            make_tensor("layers.1.weight", "BF16", (3,), self.generator),
            make_tensor("scalar", "I64", (), self.generator)], {"format": "pt", "odd\x1b": "\x07value"})
        write_safetensors(self.root / "odd/odd.safetensors",
                          [make_tensor(name, "U8", (2,), self.generator) for name in ODD_NAMES])
        (self.root / "bad.safetensors").write_bytes(b"bad")
        (self.root / "odd/config.json").write_text("{}")
        self.server = self.serve(self.root)

    def text(self, *args: object) -> list[str]:
        return self.cli_succeeds(*args, server=self.server).decode().splitlines()

    def test_ls_lists_models_with_state(self) -> None:
        lines = self.text("ls")
        self.assertEqual(lines[0].split(), ["MODEL", "TENSORS", "FILES", "SIZE", "STATE"])
        rows = {line.split()[0]: line.split(maxsplit=4)[1:] for line in lines[1:]}
        self.assertEqual(list(rows), [".", "bad.safetensors", "odd", "one.safetensors"])
        self.assertEqual(rows["odd"][:2], [str(len(ODD_NAMES)), "1"])
        self.assertTrue(lines[-1].endswith("ready"))
        self.assertRegex(lines[2], "failed: .*3 bytes")
        models = self.cli_json("ls", server=self.server)
        self.assertEqual([(model["name"], model["ready"]) for model in models],
                         [(".", False), ("bad.safetensors", False), ("odd", True), ("one.safetensors", True)])
        self.assertEqual(models[3]["size_bytes"], 128 * 64 * 4 + 6 + 8)
        self.assertIn("3 bytes", models[1]["error"])
        self.assertEqual(models[1].keys(), {"name", "ready", "error"})
        self.assertEqual(models[2].keys(),
                         {"name", "ready", "generation", "tensor_count", "file_count", "size_bytes"})

    def test_ls_of_a_model_lists_tensors(self) -> None:
        rows = [line.split() for line in self.text("ls", "one.safetensors")]
        self.assertEqual(rows[0], ["TENSOR", "DTYPE", "SHAPE", "SIZE"])
        self.assertEqual(rows[1], ["layers.0.weight", "F32", "[128,", "64]", "32.0", "KiB"])
        self.assertEqual(rows[3][:3], ["scalar", "I64", "[]"])
        tensors = self.cli_json("ls", "one.safetensors", server=self.server)
        self.assertEqual([(t["name"], t["dtype"], t["shape"], t["size_bytes"], t["file"]) for t in tensors],
                         [("layers.0.weight", "F32", [128, 64], 32768, "one.safetensors"),
                          ("layers.1.weight", "BF16", [3], 6, "one.safetensors"),
                          ("scalar", "I64", [], 8, "one.safetensors")])

    def test_ls_tsv_has_a_line_of_fields_for_each_model_or_tensor(self) -> None:
        rows = [line.split("\t") for line in self.text("ls", "--tsv")]
        self.assertEqual(rows, [[".", "failed", "0", "0", "0"], ["bad.safetensors", "failed", "0", "0", "0"],
                                ["odd", "ready", "7", "1", "14"], ["one.safetensors", "ready", "3", "1", "32782"]])
        rows = [line.split("\t") for line in self.text("ls", "--tsv", "one.safetensors")]
        offset = self.cli_json("info", "one.safetensors", "layers.0.weight", server=self.server)["file_offset"]
        self.assertEqual(rows[0], ["layers.0.weight", "F32", "128,64", "32768", "one.safetensors", str(offset)])
        self.assertEqual(rows[2][:4], ["scalar", "I64", "", "8"])
        self.assertIn("tab\\u{9}\tU8\t2\t2\todd.safetensors", "\n".join(self.text("ls", "--tsv", "odd")))

    def test_ls_chooses_by_prefix_and_glob(self) -> None:
        def names(*options: str) -> list[str]:
            return [t["name"] for t in self.cli_json("ls", "one.safetensors", *options, server=self.server)]

        self.assertEqual(names("--prefix", "layers."), ["layers.0.weight", "layers.1.weight"])
        self.assertEqual(names("--glob", "*.1.*"), ["layers.1.weight"])
        self.assertEqual(names("--glob", "nothing"), [])

    def test_info_describes_model_and_tensor(self) -> None:
        info = self.cli_json("info", "one.safetensors", server=self.server)
        self.assertEqual((info["name"], info["tensor_count"], info["file_count"]), ("one.safetensors", 3, 1))
        self.assertEqual(info["files"][0]["metadata"], {"format": "pt", "odd\x1b": "\x07value"})
        self.assertTrue(info["tree_digest"])
        self.assertEqual(info["files"][0].keys(), {"name", "kind", "size_bytes", "digest", "metadata"})
        self.assertTrue(info["files"][0]["digest"])
        text = "\n".join(self.text("info", "one.safetensors"))
        for word in ("tensors:     3", "format", info["generation"], f"tree digest: {info['tree_digest']}\n",
                     "32782 bytes"):
            self.assertIn(word, text)
        self.assertFalse(any(ord(c) < 32 and c != "\n" for c in text))
        tensor = self.cli_json("info", "one.safetensors", "scalar", server=self.server)
        self.assertEqual((tensor["dtype"], tensor["shape"], tensor["size_bytes"]), ("I64", [], 8))
        self.assertIn("dtype:   I64", self.text("info", "one.safetensors", "scalar"))
        kinds = {file["name"]: file["kind"] for file in self.cli_json("info", "odd", server=self.server)["files"]}
        self.assertEqual(kinds, {"config.json": "companion", "odd.safetensors": "safetensors"})

    def test_names_are_escaped_as_text_and_whole_as_json(self) -> None:
        lines = self.text("ls", "odd")
        self.assertEqual(len(lines), 1 + len(ODD_NAMES))
        text = "\n".join(lines)
        for unsafe in ("\x1b", "\x07", "\t", "\u202e"):
            self.assertNotIn(unsafe, text)
        for escaped in ("\\u{1b}[2J\\u{7}", "two\\u{a}lines", "\\u{202e}right to left", "\u65e5\u672c"):
            self.assertIn(escaped, text)
        tensors = self.cli_json("ls", "odd", server=self.server)
        self.assertEqual(sorted(t["name"] for t in tensors), sorted(ODD_NAMES))
        for name in ODD_NAMES:
            self.assertEqual(self.cli_json("info", "odd", name, server=self.server)["name"], name)
            self.cli_succeeds("get", "odd", name, "-o", self.directory / "odd.raw", server=self.server)
        self.cli_fails(1, ('"no\\u{1b}\\u{a}"',), "info", "odd", "no\x1b\n", server=self.server)

    def test_server_from_the_environment_is_used_without_the_flag(self) -> None:
        out = self.cli_succeeds("ls", "--json", env={"TENSORFERRY_SERVER": self.server.address})
        self.assertEqual(len(json.loads(out)), 4)
        # The command line has precedence.
        out = self.cli_succeeds("ls", "--json", server=self.server, env={"TENSORFERRY_SERVER": "127.0.0.1:1"})
        self.assertEqual(len(json.loads(out)), 4)

    def test_check_reports_good_and_bad_files(self) -> None:
        good = self.root / "one.safetensors"
        bad = self.root / "bad.safetensors"
        self.assertEqual(self.cli_succeeds("check", good).decode(), f"{good}: ok (3 tensors, 32.0 KiB)\n")
        result = self.run_cli("check", good, bad, self.directory / "missing.safetensors")
        self.assert_one_line_error(result, 1, "2 of 3 bad")
        lines = result.stdout.decode().splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[1].startswith(f"{bad}: ") and "3 bytes" in lines[1], lines)
        self.assertIn("No such file or directory", lines[2])
        result = self.run_cli("check", self.root, "--json")
        self.assertEqual(result.returncode, 1)
        verdicts = {verdict["path"]: verdict["ok"] for verdict in json.loads(result.stdout)}
        self.assertTrue(verdicts[f"{self.root}/odd"])
        self.assertFalse(verdicts[str(bad)])
        self.cli_succeeds("check", self.root / "odd")
        empty = self.directory / "empty"
        empty.mkdir()
        self.assertIn(b"no safetensors file", self.run_cli("check", empty).stdout)

    def test_bench_measures_tensor_and_model(self) -> None:
        for what, size in ((("one.safetensors", "layers.0.weight"), 32768), (("one.safetensors",), 32782)):
            args = ("bench", *what, "--rounds", "2", "--latency-reads", "20")
            result = self.cli_json(*args, server=self.server)
            self.assertEqual((result["bytes"], result["rounds"], result["latency_reads"]), (size, 2, 20))
            self.assertEqual(result["latency_bytes"], 4096)
            for key in ("bytes_per_second", "median_seconds", "latency_p50_seconds"):
                self.assertGreater(result[key], 0, key)
            self.assertLessEqual(result["latency_p50_seconds"], result["latency_p95_seconds"])
            self.assertLessEqual(result["latency_p95_seconds"], result["latency_p99_seconds"])
            text = self.cli_succeeds(*args, "--connections", "3", server=self.server).decode()
            self.assertRegex(text, r"throughput: +\S+ \S+/s .*\nlatency: +p50 .* p95 .* p99 ")
        self.cli_fails(1, ('"one.safetensors"', '"none"'), "bench", "one.safetensors", "none", server=self.server)

    def test_version_succeeds(self) -> None:
        self.assertRegex(self.cli_succeeds("--version").decode(), r"\Atensorferry \d+\.\d+\.\d+\n\Z")

    def test_help_begins_with_a_sentence_and_three_examples(self) -> None:
        for command in ((), ("ls",), ("info",), ("get",), ("pull",), ("check",), ("bench",), ("health",)):
            with self.subTest(command):
                text = self.cli_succeeds(*command, "--help").decode()
                name = " ".join(("tensorferry", *command))
                self.assertRegex(text, rf"\A[A-Z][^\n]*\.\n\nExamples:\n(  tensorferry [^\n]*\n){{3}}\nUsage: {name} ")
                self.assertIn("Exit codes", text)
                self.assertLessEqual(max(map(len, text.splitlines())), 100)


class LargeMetadataTest(harness.EndToEndTest):
    """Metadata that does not fit into a message: in one value, and in many values."""

    def test_model_with_more_metadata_than_a_message_holds_can_be_listed_described_fetched_and_pulled(self) -> None:
        generator = numpy.random.default_rng(harness.SEED)
        for name, metadata in (("one", {"large": "x" * 5_000_000, "small": "y"}),
                               ("many", {f"key {i}": "z" * 1000 for i in range(6000)})):
            with self.subTest(name):
                root = self.temporary_directory()
                tensor = make_tensor("t", "F32", (10,), generator)
                write_safetensors(root / name / "model.safetensors", [tensor], metadata)
                server = self.serve(root)
                self.assertEqual([model["name"] for model in self.cli_json("ls", server=server)], [name])
                self.assertEqual([t["name"] for t in self.cli_json("ls", name, server=server)], ["t"])
                files = self.cli_json("info", name, server=server)["files"]
                self.assertEqual([file["metadata"] for file in files], [metadata])
                output = self.directory / f"{name}.npy"
                self.cli_succeeds("get", name, "t", "-o", output, server=server)
                self.assertEqual(numpy.load(output).tobytes(), bytes(tensor.data))
                self.cli_succeeds("pull", name, self.directory / name, server=server)
                self.assertEqual(harness.sha256(self.directory / name / "model.safetensors"),
                                 harness.sha256(root / name / "model.safetensors"))


class EmptyTensorsTest(harness.EndToEndTest):
    """Models without any bytes of data."""

    def test_model_of_nothing_can_be_listed_fetched_and_pulled(self) -> None:
        root = self.directory / "root"
        write_safetensors(root / "m/none.safetensors", [TensorToWrite("none", "F32", (0, 3), b"")])
        write_safetensors(root / "m/empty.safetensors", [])
        server = self.serve(root)
        self.assertEqual(len(self.cli_json("ls", "m", server=server)), 1)
        self.assertEqual(self.cli_json("ls", "m/empty.safetensors", server=server), [])
        output = self.directory / "none.npy"
        self.cli_succeeds("get", "m", "none", "-o", output, server=server)
        self.assertEqual(numpy.load(output).shape, (0, 3))
        self.cli_succeeds("pull", "m", self.directory / "pulled", server=server)
        self.assertEqual((self.directory / "pulled/empty.safetensors").read_bytes(),
                         (root / "m/empty.safetensors").read_bytes())
        result = self.cli_json("bench", "m", "--rounds", "1", "--latency-reads", "1", server=server)
        self.assertEqual(result["bytes"], 0)
        self.cli_fails(1, ('"m/empty.safetensors"', "no tensors"), "bench", "m/empty.safetensors", server=server)


if __name__ == "__main__":
    unittest.main()
