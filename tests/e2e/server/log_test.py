# SPDX-License-Identifier: Apache-2.0
"""The log of tensorferryd: a line for each thing that happens, with fields that machines can read."""

import json
import re
import socket
import unittest

import harness
from tensor_files import write_safetensors
from tls_fixture import TlsFixture, client_options, server_options

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NASTY = 'bad\n"na=me\x1b[2J\u202e.safetensors'


def objects(log: str) -> list[dict]:
    """The lines of a log in JSON."""
    return [json.loads(line) for line in log.splitlines()]


def fields(line: dict) -> dict:
    """Returns the fields of a line that not every line has."""
    return {key: value for key, value in line.items() if key not in ("time", "level", "message")}


class LogTest(TlsFixture):
    """Every test has a root with one good model and one that is bad, in content and in name."""

    def setUp(self) -> None:
        super().setUp()
        (self.root / NASTY).write_bytes(b"bad")

    def logged(self, server: harness.Server, message: str, level: str = "info") -> list[dict]:
        """The fields of the lines in JSON that say this."""
        lines = [line for line in objects(server.stderr()) if line["message"] == message]
        self.assertEqual({line["level"] for line in lines} | {level}, {level})
        return [fields(line) for line in lines]

    def test_json_has_an_object_a_line_and_a_member_a_field(self) -> None:
        server = self.serve(self.root, "--log-format=json", "--scan-interval=1", "--admin-listen", "127.0.0.1:0")
        failed = {line["model"]: line["error"] for line in self.logged(server, "model cannot be served", "error")}
        self.assertEqual(failed.keys(), {".", NASTY})  # the directory for its bad file
        self.assertIn("3 bytes", failed[NASTY])
        [scanned] = self.logged(server, "root scanned")
        self.assertIsInstance(scanned.pop("seconds"), float)
        self.assertEqual(scanned, {"root": str(self.root), "models": 1, "tensors": 1, "failed": 2})
        [listening] = self.logged(server, "listening")
        self.assertEqual(listening["address"], server.address)
        self.assertEqual(self.logged(server, "admin port is listening"), [{"address": server.admin}])

        write_safetensors(self.root / "new.safetensors", [self.tensor])
        harness.wait_until(lambda: self.logged(server, "model added"), "the new model")
        (self.root / "m.safetensors").unlink()
        harness.wait_until(lambda: self.logged(server, "model removed"), "the old one's end")
        [added] = self.logged(server, "model added")
        generations = {model["name"]: model.get("generation") for model in self.cli_json("ls", server=server)}
        self.assertEqual(added, {"model": "new.safetensors", "generation": generations["new.safetensors"], "tensors": 1})
        self.assertEqual(self.logged(server, "model removed"), [{"model": "m.safetensors"}])
        harness.wait_until(lambda: self.logged(server, "root scanned")[-1]["models"] == 1, "the last scan")

        server.stop()
        lines = objects(server.stderr_at_end)
        for line in lines:
            self.assertEqual(list(line)[:3], ["time", "level", "message"])
            self.assertRegex(line["time"], f"^{TIME.pattern}$")
            self.assertIn(line["level"], ("info", "warning", "error"))
        [draining] = [line for line in lines if line["message"] == "reporting not ready"]
        self.assertEqual(fields(draining), {"signal": "SIGTERM", "lame_duck_seconds": 0, "streams": 0})
        ended = fields(lines[-1])
        self.assertEqual((lines[-1]["message"], ended), ("ended", {"calls": 1, "by_code": "1 OK", "sent_bytes": 0}))

    def test_text_has_the_fields_behind_the_message_and_only_the_levels_asked_for(self) -> None:
        with self.serve(self.root) as server:
            pass
        log = server.stderr_at_end
        for line in log.splitlines():
            self.assertRegex(line, f"^{TIME.pattern} (info|warning|error) ")
        self.assertIn(r'error model cannot be served model="bad\u000a\"na=me\u001b[2J\u202e.safetensors" error="file ', log)
        self.assertRegex(log, rf"info root scanned root={self.root} models=1 tensors=1 failed=2 seconds=[0-9.e-]+\n")
        self.assertRegex(log, r"info reporting not ready signal=SIGTERM lame_duck_seconds=0 streams=0\n")
        with self.serve(self.root, "--log-level", "error") as server:
            pass
        lines = server.stderr_at_end.splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertIn(" error ", line)

    def test_server_that_cannot_start_says_so_in_the_form_that_was_asked_for(self) -> None:
        command = [str(harness.BIN_DIR / "tensorferryd"), "--root", str(self.directory / "none")]
        result = harness.run_program([*command, "--log-format=json"])
        [line] = objects(result.stderr)
        self.assertEqual((result.returncode, line["level"], line["message"]), (1, "error", "cannot start"))
        self.assertIn(str(self.directory / "none"), line["error"])
        self.assert_one_line_error(harness.run_program(command), 1, str(self.directory / "none"))

    def test_messages_of_grpc_are_lines_like_others(self) -> None:
        options = server_options(self.server_certificate, "--log-format=json")
        server = self.serve(self.root, *options)
        [certificate] = self.logged(server, "certificate loaded")
        self.assertEqual(certificate["file"], str(self.server_certificate.certificate))
        self.assertRegex(certificate["expires"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

        def told() -> bool:
            host, port = server.address.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(b"no hello of TLS\r\n\r\n")
                connection.settimeout(harness.PATIENCE_SECONDS)
                while connection.recv(4096):
                    pass
            return any(line.get("source") == "grpc" for line in objects(server.stderr()))

        harness.wait_until(told, "what gRPC says of a failed handshake")

    def test_calls_are_logged_where_that_was_asked_for(self) -> None:
        server = self.serve(self.root, "--log-format=json", "--log-calls")
        self.cli_succeeds("get", "m.safetensors", "t", "-o", self.directory / "out", server=server)
        self.assertEqual(self.run_cli("get", NASTY, "t", "-o", "-", server=server).returncode, 1)
        self.assertEqual(self.run_cli("ls", "none" * 1000, server=server).returncode, 1)
        server.stop()
        calls = [fields(line) for line in objects(server.stderr_at_end) if line["message"] == "call"]
        for call in calls:
            self.assertEqual(list(call), ["method", "model", "code", "bytes", "seconds", "peer", "client"])
            self.assertGreater(call["seconds"], 0)
            self.assertEqual(call["client"], "")
            self.assertRegex(call["peer"], r"^ipv4:127\.0\.0\.1:\d+$")
        self.assertIn(("m.safetensors", "OK", len(self.tensor.data)),
                      [(call["model"], call["code"], call["bytes"]) for call in calls if call["method"].startswith("Get")])
        self.assertIn((NASTY, "FailedPrecondition", 0), [(call["model"], call["code"], call["bytes"]) for call in calls])
        self.assertIn(("ListTensors", "none" * 256, "NotFound"),
                      [(call["method"], call["model"], call["code"]) for call in calls])

    def test_call_names_the_client_by_its_token_or_certificate(self) -> None:
        tokens = self.directory / "tokens"
        tokens.write_text("team a-token-of-the-team m.safetensors\n")
        token = self.directory / "token"
        token.write_text("a-token-of-the-team")
        server = self.serve(self.root, "--log-format=json", "--log-calls", "--insecure", "--token-file", str(tokens))
        self.cli_succeeds("ls", "--token-file", token, server=server)
        self.assertEqual(self.run_cli("ls", "other", "--token-file", token, server=server).returncode, 1)
        self.assertEqual(self.run_cli("ls", server=server).returncode, 1)
        server.stop()
        calls = [fields(line) for line in objects(server.stderr_at_end) if line["message"] == "call"]
        self.assertIn(("ListModels", "OK", "team"),
                      [(call["method"], call["code"], call["client"]) for call in calls])
        # A model that the token may not read is a refused call of a known client.
        self.assertIn(("ListTensors", "NotFound", "team"),
                      [(call["method"], call["code"], call["client"]) for call in calls])
        self.assertIn(("ListModels", "Unauthenticated", ""),
                      [(call["method"], call["code"], call["client"]) for call in calls])
        self.assertNotIn("a-token-of-the-team", server.stderr_at_end)

        server = self.serve(self.root, "--log-format=json", "--log-calls",
                            *server_options(self.server_certificate, "--tls-client-ca", self.authority.certificate))
        self.cli_succeeds("ls", *client_options(self.authority, self.client_certificate), server=server)
        server.stop()
        [call] = [fields(line) for line in objects(server.stderr_at_end) if line["message"] == "call"]
        self.assertIn(call["client"], ("rank-0.fleet", "spiffe://fleet/rank-0", "rank-0"))

    def test_calls_are_not_logged_by_default(self) -> None:
        with self.serve(self.root, "--log-format=json") as server:
            self.cli_succeeds("ls", server=server)
        self.assertNotIn("call", [line["message"] for line in objects(server.stderr_at_end)])


if __name__ == "__main__":
    unittest.main()
