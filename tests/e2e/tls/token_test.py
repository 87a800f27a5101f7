# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens and rules per model: who gets what, who learns nothing, and new tokens while calls go on."""

import json
import os
import pathlib
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable

import grpc
import numpy
from grpc_health.v1 import health_pb2, health_pb2_grpc

import harness
import stock_client
from certificates import Authority
from stock_client import pb, pb_grpc
from tensor_files import make_tensor, write_safetensors

INVALID = "token file invalid, accepting previous tokens"
ROTATIONS = 3 if harness.SANITIZED else 20
ALL = "token-for-everything-0"
TEAM = "token-of-the-team-000=="
NONE = "token-for-no-model-000"
MODELS = ("team/a", "team/b", "other/c")


def publish(path: pathlib.Path, text: str) -> None:
    """Replaces a file at once."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.rename(path)


class TokenTest(harness.EndToEndTest):
    """A server with TLS, three models, and tokens for all of them, for two, and for none."""

    @classmethod
    def setUpClass(cls) -> None:
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.authority = Authority(directory / "authority", "authority")
        cls.certificate = cls.authority.issue_for_server()

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        generator = numpy.random.default_rng(harness.SEED)
        self.tensor = make_tensor("t", "U8", (5000,), generator)
        for model in MODELS:
            write_safetensors(self.root / model / "model.safetensors", [self.tensor])
            (self.root / model / "config.json").write_text("{}")
        self.tokens = self.directory / "tokens"
        publish(self.tokens, f"# NAME TOKEN [MODEL-GLOB ...]\n\nadmin {ALL}\n"
                             f"team  {TEAM}\tteam/* nothing\nnobody {NONE} no-such-model\n")
        self.tls = ("--tls-cert", str(self.certificate.certificate), "--tls-key", str(self.certificate.key))

    def serve_tokens(self) -> harness.Server:
        return self.serve(self.root, *self.tls, "--token-file", str(self.tokens))

    def with_token(self, token: str) -> list[str]:
        """The client's flags."""
        path = self.directory / "token"
        path.write_text(f" {token}\n")
        return ["--tls-ca", str(self.authority.certificate), "--token-file", str(path)]

    def channel(self, server: harness.Server) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(self.authority.certificate.read_bytes())
        channel = grpc.secure_channel(server.address, credentials, [("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def status_of(self, call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        return raised.exception.code(), raised.exception.details()

    def calls(self, channel: grpc.Channel, model: str, metadata: object) -> dict[str, Callable[[], object]]:
        """Every RPC about a model."""
        stub = pb_grpc.TensorServiceStub(channel)
        how = {"metadata": metadata, "timeout": harness.PATIENCE_SECONDS}
        return {
            "ListTensors": lambda: stub.ListTensors(pb.ListTensorsRequest(model=model), **how),
            "GetMetadata": lambda: stub.GetMetadata(pb.GetMetadataRequest(model=model), **how),
            "GetTensor": lambda: list(stub.GetTensor(
                pb.GetTensorRequest(model=model, read=pb.Read(tensor="t")), **how)),
            "GetSlice": lambda: list(stub.GetSlice(pb.GetSliceRequest(model=model, read=pb.Read(tensor="t")), **how)),
            "GetTensors": lambda: list(stub.GetTensors(
                pb.GetTensorsRequest(model=model, reads=[pb.Read(tensor="t")]), **how)),
            "GetFile": lambda: list(stub.GetFile(pb.GetFileRequest(model=model, file="config.json"), **how)),
        }

    def test_who_has_no_token_gets_nothing_but_health(self) -> None:
        server = self.serve_tokens()
        channel = self.channel(server)
        for metadata in ((), (("authorization", "Bearer wrong-token-0000000"),), (("authorization", ALL),),
                         (("authorization", f"Basic {ALL}"),), (("authorization", "Bearer"),),
                         (("authorization", f"Bearer {ALL[:-1]}"),), (("authorization", f"Bearer {ALL}x"),),
                         (("authorization", f"Bearer {ALL}"), ("authorization", f"Bearer {TEAM}"))):
            list_models = lambda: pb_grpc.TensorServiceStub(channel).ListModels(  # noqa: E731
                pb.ListModelsRequest(), metadata=metadata, timeout=harness.PATIENCE_SECONDS)
            for name, call in ({"ListModels": list_models} | self.calls(channel, "team/a", metadata)).items():
                with self.subTest(name, metadata=metadata):
                    code, details = self.status_of(call)
                    self.assertEqual(code, grpc.StatusCode.UNAUTHENTICATED)
                    self.assertNotIn("\n", details)
                    self.assertNotIn("token-for", details)
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        self.assertEqual(health.status, health_pb2.HealthCheckResponse.SERVING)
        for name, call in self.calls(channel, "team/a", (("authorization", f"bearer  {ALL}"),)).items():
            with self.subTest(name):
                call()

    def test_cli_and_what_it_tells(self) -> None:
        server = self.serve_tokens()
        output = self.directory / "out"
        self.cli_succeeds("get", "team/a", "t", "-o", output, *self.with_token(ALL), server=server)
        self.assertEqual(output.read_bytes(), self.tensor.data)
        self.cli_succeeds("pull", "team/a", self.directory / "copy", *self.with_token(TEAM), server=server)
        self.cli_fails(1, ("requires a bearer token", "--token-file"), "ls", "--tls-ca", self.authority.certificate, server=server)
        self.cli_fails(1, ("unknown bearer token",), "ls", *self.with_token("wrong-token-0000000"), server=server)
        self.cli_fails(1, ("one word",), "ls", *self.with_token("two words"), server=server)
        self.cli_fails(1, ("one word",), "ls", *self.with_token(""), server=server)
        self.cli_fails(1, ("missing", "No such file"), "ls", "--tls-ca", self.authority.certificate, "--token-file",
                       self.directory / "missing", server=server)
        self.assertNotIn("token-for", server.stderr())
        self.assertNotIn("wrong-token", server.stderr())

    def test_models_that_a_token_may_not_read_are_not_there(self) -> None:
        server = self.serve_tokens()

        def listed(token: str) -> list[str]:
            return [model["name"] for model in
                    json.loads(self.cli_succeeds("ls", "--json", *self.with_token(token), server=server))]

        self.assertEqual(listed(ALL), sorted(MODELS))
        self.assertEqual(listed(TEAM), ["team/a", "team/b"])
        self.assertEqual(listed(NONE), [])
        # Pages do not show them either.
        stub = pb_grpc.TensorServiceStub(self.channel(server))
        metadata = (("authorization", f"Bearer {TEAM}"),)
        names, token = [], ""
        while not names or token:
            page = stub.ListModels(pb.ListModelsRequest(page_size=1, page_token=token), metadata=metadata)
            names += [model.name for model in page.models]
            token = page.next_page_token
        self.assertEqual(names, ["team/a", "team/b"])

        channel = self.channel(server)
        for name, call in self.calls(channel, "team/a", metadata).items():
            with self.subTest(name):
                call()
        forbidden, absent = self.calls(channel, "other/c", metadata), self.calls(channel, "other/d", metadata)
        allowed_but_absent = self.calls(channel, "team/d", metadata)
        for name, call in forbidden.items():
            with self.subTest(name):
                code, details = self.status_of(call)
                self.assertEqual(code, grpc.StatusCode.NOT_FOUND)
                self.assertEqual(self.status_of(absent[name]), (code, details.replace("other/c", "other/d")))
                self.assertEqual(self.status_of(allowed_but_absent[name]),
                                 (code, details.replace("other/c", "team/d")))

    def test_tokens_travel_in_plaintext_only_on_purpose(self) -> None:
        command = [str(harness.BIN_DIR / "tensorferryd"), "--root", str(self.root), "--listen", "127.0.0.1:0",
                   "--token-file", str(self.tokens)]
        result = harness.run_program(command, patience=20)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("--insecure", result.stderr.splitlines()[-1])
        # The client sends it over loopback, and nowhere else unless it is told to.
        server = self.serve(self.root, "--token-file", str(self.tokens), "--insecure")
        flags = self.with_token(ALL)[2:]
        self.cli_succeeds("ls", *flags, server=server)
        elsewhere = ("ls", *flags, "--connect-timeout", "0.2", "--server", "192.0.2.1:7070")
        self.cli_fails(1, ("plaintext", "192.0.2.1"), *elsewhere)
        result = self.run_cli(*elsewhere, "--plaintext-token")
        self.assertEqual(result.returncode, 1)
        self.assertNotIn("plaintext", result.stderr)

    def test_bad_token_files_end_the_start(self) -> None:
        for text, named in (("", "file is empty"), ("admin\n", "line 1"), ("# x\nadmin short\n", "line 2"),
                            (f"a {ALL}\nb {ALL}\n", "line 2"), (f"a {ALL} [x\n", "glob 1"),
                            (f"a {ALL}?\n", "line 1"), (None, "No such file")):
            with self.subTest(text):
                self.tokens.unlink(missing_ok=True)
                if text is not None:
                    self.tokens.write_text(text)
                result = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--root", str(self.root),
                                              "--listen", "127.0.0.1:0", *self.tls, "--token-file", str(self.tokens)],
                                             patience=20)
                self.assertEqual((result.returncode, result.stdout), (1 if text is None else 2, b""), result.stderr)
                self.assertIn(named, result.stderr.splitlines()[-1])
                self.assertIn(str(self.tokens), result.stderr.splitlines()[-1])
                self.assertNotIn(ALL, result.stderr)

    def test_no_call_fails_while_tokens_are_replaced(self) -> None:
        server = self.serve_tokens()
        channel = self.channel(server)
        stub = pb_grpc.TensorServiceStub(channel)
        request = pb.GetTensorRequest(model="team/a", read=pb.Read(tensor="t"))
        current = TEAM
        ended = threading.Event()
        calls, failures = [0], []

        def use_tokens() -> None:
            while not ended.is_set():
                try:
                    stream = stub.GetTensor(request, metadata=(("authorization", f"Bearer {current}"),), timeout=60)
                    if bytes(stock_client.read_stream(stream).data[0]) != self.tensor.data:
                        failures.append("wrong bytes")
                except grpc.RpcError as error:
                    failures.append(repr(error))
                calls[0] += 1

        def accepted(token: str) -> bool:
            try:
                stub.ListModels(pb.ListModelsRequest(), metadata=(("authorization", f"Bearer {token}"),), timeout=60)
                return True
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
                return False

        def turn(number: int, text: str) -> None:
            if number % 2:
                publish(self.tokens, text)
                return
            # A volume of Kubernetes.
            version = self.directory / f"version-{number}"
            version.write_text(text)
            link = self.directory / "link"
            link.symlink_to(version)
            link.rename(self.tokens)

        threads = [threading.Thread(target=use_tokens) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(ROTATIONS):
                new = f"rotated-token-{number:06}"
                turn(number, f"team {current} team/*\nteam {new} team/*\n")
                harness.wait_until(lambda: accepted(new), "the new token to be accepted")
                old, current = current, new
                time.sleep(0.2)  # calls with the old one that are on their way
                turn(number + 1, f"team {current} team/*\n")
                harness.wait_until(lambda: not accepted(old), "the old token to be refused")
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(calls[0], 5 * ROTATIONS)
        print(f"{calls[0]} calls over {ROTATIONS} tokens, none failed", file=sys.stderr)

    def test_invalid_replacement_keeps_the_previous_tokens(self) -> None:
        server = self.serve_tokens()
        flags = self.with_token(ALL)
        for broken in ("", "admin\n", None):
            before = server.stderr().count(INVALID)
            if broken is None:
                os.unlink(self.tokens)
            else:
                publish(self.tokens, broken)

            def told() -> bool:
                self.cli_succeeds("ls", *flags, server=server)
                return server.stderr().count(INVALID) > before

            harness.wait_until(told, "the server to tell that the token file is bad")
        publish(self.tokens, "# nobody\n")
        harness.wait_until(lambda: self.run_cli("ls", *flags, server=server).returncode == 1, "no token to be left")
        publish(self.tokens, f"admin {ALL}\n")
        harness.wait_until(lambda: self.run_cli("ls", *flags, server=server).returncode == 0, "the token to be back")


if __name__ == "__main__":
    unittest.main()
