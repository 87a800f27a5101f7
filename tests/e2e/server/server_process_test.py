# SPDX-License-Identifier: Apache-2.0
"""How tensorferryd starts, says what is wrong with its root or its address, and ends."""

import os
import pathlib
import signal
import socket
import subprocess
import unittest

import grpc
import numpy
from grpc_health.v1 import health_pb2, health_pb2_grpc

import harness
import stock_client
from stock_client import pb
from tensor_files import TensorToWrite, make_tensor, write_big_file, write_safetensors, write_sparse_file


class ServerProcessTest(harness.EndToEndTest):
    """Every test starts its own server on a root with one small model."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(self.root / "m.safetensors", [make_tensor("t", "U8", (9,), self.generator)])

    def server_fails(self, code: int, named: tuple[str, ...], *args: object,
                     env: dict[str, str] | None = None) -> None:
        """tensorferryd must end with `code` and a last line on stderr that holds each of `named`."""
        result = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), *map(str, args)], env=env, patience=20)
        self.assertEqual((result.returncode, result.stdout), (code, b""), result.stderr)
        last = result.stderr.splitlines()[-1]
        if code == 1:
            self.assertTrue(last.startswith("tensorferryd: "), result.stderr)
        for text in named:
            self.assertIn(text, result.stderr if code == 2 else last)

    def test_port_zero_gives_a_port_that_is_printed(self) -> None:
        for listen in ("127.0.0.1:0", "localhost:0", "[::1]:0"):
            if "::1" in listen and not os.path.exists("/proc/net/if_inet6"):
                continue
            server = self.serve(self.root, listen=listen)
            self.assertNotEqual(server.address.rsplit(":", 1)[1], "0")
            self.assertEqual(len(self.cli_json("ls", server=server)), 2)

    def test_unix_socket_serves_and_is_told_as_asked(self) -> None:
        for address in (f"unix:{self.directory}/socket", f"unix://{self.directory}/uri"):
            server = self.serve(self.root, listen=address)
            self.assertEqual(server.address, address)
            output = self.directory / "t.raw"
            self.cli_succeeds("get", "m.safetensors", "t", "-o", output, server=server)
            stream = stock_client.read_stream(stock_client.connect(address).GetTensor(
                pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"))))
            self.assertEqual(output.read_bytes(), bytes(stream.data[0]))

    def test_neither_verify_nor_known_digests_change_a_generation(self) -> None:
        file = self.root / "m.safetensors"
        data = self.generator.bytes(100_000)
        write_safetensors(file, [TensorToWrite("t", "U8", (len(data),), data)])
        generations = set()
        for known in (False, True):
            if known:
                file.with_name(file.name + ".sha256").write_text(f"{harness.sha256(file)}  {file.name}\n")
            for verify in ("headers", "full"):
                server = self.serve(self.root, f"--verify={verify}")
                generations.add(self.cli_json("info", "m.safetensors", server=server)["generation"])
        self.assertEqual(len(generations), 1, generations)
        self.assertTrue(generations.pop())

    def test_signal_ends_a_load_that_takes_long(self) -> None:
        write_sparse_file(self.root / "large.safetensors", "t", 64 << 30)
        # A check that did not come to its end must not look as if all were well.
        for flags, code in (("--listen", "127.0.0.1:0"), 0), (("--check-config",), -signal.SIGTERM):
            program = subprocess.Popen(
                [harness.BIN_DIR / "tensorferryd", "--root", self.root, "--verify=full", *flags],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.addCleanup(program.kill)

            maps = pathlib.Path(f"/proc/{program.pid}/maps")
            harness.wait_until(lambda maps=maps: "/large.safetensors" in maps.read_text(), "the file to be open")
            program.terminate()
            stdout, stderr = program.communicate(timeout=harness.PATIENCE_SECONDS)
            self.assertEqual((program.returncode, stdout), (code, b""), harness.stderr_text(stderr))

    def test_port_in_use_is_told(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.server_fails(1, (address, "in use"), "--root", self.root, "--listen", address)
        # Neither do two servers share a port.
        address = self.serve(self.root).address
        self.server_fails(1, (address, "in use"), "--root", self.root, "--listen", address)

    def test_address_certificate_and_tokens_are_checked_before_the_scan(self) -> None:
        # A scan of this root would fail, which is another error.
        missing = ("--root", self.directory / "missing")
        tokens = self.directory / "tokens"
        tokens.write_text("only-a-name\n")
        listen = ("--listen", "127.0.0.1:0")
        taken = self.serve(self.root).address
        for code, named, args in (
                (1, (taken, "in use"), ("--listen", taken)),
                (1, ("192.0.2.1:0",), ("--listen", "192.0.2.1:0", "--insecure")),
                (1, ("unix:/no/such/directory/socket",), ("--listen", "unix:/no/such/directory/socket")),
                (2, ('"nonsense"',), ("--listen", "nonsense")),
                (2, ("line 1", str(tokens)), (*listen, "--insecure", "--token-file", tokens)),
                (1, ("none.pem",), (*listen, "--tls-cert", "none.pem", "--tls-key", "none.pem"))):
            with self.subTest(named):
                self.server_fails(code, named, *missing, *args)

    def test_wrong_roots_are_told(self) -> None:
        listen = ("--listen", "127.0.0.1:0")
        missing = self.directory / "missing"
        self.server_fails(1, (str(missing), "No such file or directory"), "--root", missing, *listen)
        self.server_fails(1, ("m.safetensors", "ot a directory"), "--root", self.root / "m.safetensors", *listen)

    def test_root_with_nothing_is_served_with_a_warning(self) -> None:
        empty = self.directory / "empty"
        empty.mkdir()
        server = self.serve(empty)
        self.assertEqual(self.cli_json("ls", server=server), [])
        self.assertEqual(self.cli_succeeds("ls", server=server).decode().splitlines()[1:], [])
        self.assertIn("nothing to serve", server.stderr())
        self.assertIn(str(empty), server.stderr())

    def test_bad_files_are_told_and_the_good_ones_served(self) -> None:
        whole = (self.root / "m.safetensors").read_bytes()
        (self.root / "bad").mkdir()
        contents = {"cut": whole[:-1], "long": whole + b"x", "no-header": b"\x00" * 7, "huge": b"\xff" * 64,
                    "empty": b"", "json": (2).to_bytes(8, "little") + b"{]"}
        for name, content in contents.items():
            (self.root / f"bad/{name}.safetensors").write_bytes(content)
        os.mkfifo(self.root / "bad/fifo.safetensors")
        (self.root / "bad/link.safetensors").symlink_to("/etc/passwd")
        server = self.serve(self.root)
        models = {model["name"]: model for model in self.cli_json("ls", server=server)}
        self.assertTrue(models["m.safetensors"]["ready"])
        for name in contents:
            model = models[f"bad/{name}.safetensors"]
            self.assertFalse(model["ready"])
            self.assertTrue(model["error"])
            self.assertIn(f"model cannot be served model=bad/{name}.safetensors error=", server.stderr())
        # Links out of the root, and names that are no files, never give bytes.
        for name in ("bad/fifo.safetensors", "bad/link.safetensors"):
            if name in models:
                self.assertFalse(models[name]["ready"], name)
        self.assertEqual(len(self.cli_json("ls", "m.safetensors", server=server)), 1)

    def test_address_that_others_reach_needs_insecure(self) -> None:
        for listen in ("0.0.0.0:0", "[::]:0", "*:0"):
            self.server_fails(2, (listen, "--insecure"), "--root", self.root, "--listen", listen)
        server = self.serve(self.root, "--insecure", listen="0.0.0.0:0")
        port = server.address.rsplit(":", 1)[1]
        self.assertEqual(len(self.cli_json("ls", "--server", f"127.0.0.1:{port}")), 2)

    def test_wrong_usage_is_told(self) -> None:
        self.server_fails(2, ("--root",))
        self.server_fails(2, ('no flag "--nonsense"',), "--root", self.root, "--nonsense")
        self.server_fails(2, ('no flag "--max-stream"; did you mean --max-streams?',), "--max-stream", "3")
        self.server_fails(2, ('--lame-duck: "5s": give whole seconds, 0 to 86400',), "--root", self.root,
                          "--lame-duck", "5s")
        self.server_fails(2, ('--max-streams: "many": give a whole number, 0 to 1000000',), "--root", self.root,
                          "--max-streams", "many")
        self.server_fails(2, ("--workers",), "--root", self.root, "--workers", "0")
        self.server_fails(2, ("--chunk-bytes",), "--root", self.root, "--chunk-bytes", str(4 << 20))
        result = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--help"])
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        lines = result.stdout.decode().splitlines()
        self.assertEqual(lines[0], "tensorferryd serves the tensors of a directory of safetensors files over gRPC.")
        self.assertEqual([line.split()[0] for line in lines[1:9] if line.startswith("  ") and line[2] != " "],
                         ["tensorferryd"] * 3)
        self.assertIn("  --max-streams N  (default 1024, 0 = unlimited)", lines)
        self.assertIn("  --lame-duck SECONDS  (default 5)", lines)
        self.assertIn("  --chunk-bytes SIZE  (default 1MiB, 4KiB to 3MiB)", lines)
        self.assertEqual([line for line in lines if line.endswith(":") and not line.startswith(" ")][:6],
                         ["Files:", "Network:", "Security:", "Limits:", "Logging:", "General:"])
        self.assertLessEqual(max(map(len, lines)), 90)

    def test_malformed_addresses_are_told(self) -> None:
        for listen in ("127.0.0.1", "localhost", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:99999", "unix:",
                       "unix://x", ""):
            with self.subTest(listen):
                self.server_fails(2, (f'"{listen}"',), "--root", self.root, "--listen", listen)
        listen = "unix:/no/such/directory/socket"
        self.server_fails(1, (listen,), "--root", self.root, "--listen", listen)

    def test_options_come_from_the_environment_too(self) -> None:
        self.server_fails(2, ("workers",), "--root", self.root, env={"TENSORFERRYD_WORKERS": "0"})
        missing = str(self.directory / "missing")
        self.server_fails(1, (missing,), env={"TENSORFERRYD_ROOT": missing})

    def test_sigterm_lets_a_stream_finish_and_takes_no_new_ones(self) -> None:
        write_big_file(self.root / "big.safetensors", "big", 64 << 20, self.generator)
        server = self.serve(self.root)
        stub = stock_client.connect(server.address)
        health = health_pb2_grpc.HealthStub(grpc.insecure_channel(server.address))
        serving = health_pb2.HealthCheckResponse.SERVING
        self.assertEqual(health.Check(health_pb2.HealthCheckRequest()).status, serving)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        self.assertEqual(next(watch).status, serving)

        messages = stub.GetTensor(pb.GetTensorRequest(model="big.safetensors", read=pb.Read(tensor="big")))
        received = [next(messages)]
        server.terminate()
        # The server reports that it is shutting down. The stream, which waits for its reader, continues.
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        self.assertIsNone(server.process.poll())
        received += messages
        stream = stock_client.read_stream(received)
        with open(self.root / "big.safetensors", "rb") as file:
            file.seek(-(64 << 20), os.SEEK_END)
            self.assertTrue(file.read() == stream.data[0], "the stream that was running has wrong bytes")
        watch.cancel()
        server.stop()
        self.assertIn("SIGTERM", server.stderr_at_end)
        self.assertNotIn("cut off", server.stderr_at_end)

    def test_stream_that_outlasts_the_drain_timeout_is_cut_off(self) -> None:
        write_big_file(self.root / "big.safetensors", "big", 64 << 20, self.generator)
        server = self.serve(self.root, "--drain-timeout", "0")
        messages = stock_client.connect(server.address).GetTensor(
            pb.GetTensorRequest(model="big.safetensors", read=pb.Read(tensor="big")))
        next(messages)
        server.stop()
        self.assertIn("cut off", server.stderr_at_end)
        with self.assertRaises(grpc.RpcError) as raised:
            list(messages)
        self.assertIn(raised.exception.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))

    def test_sigint_and_a_second_signal_end_it_well(self) -> None:
        server = self.serve(self.root)
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(harness.PATIENCE_SECONDS), 0)

        write_big_file(self.root / "big.safetensors", "big", 64 << 20, self.generator)
        server = self.serve(self.root)
        messages = stock_client.connect(server.address).GetTensor(
            pb.GetTensorRequest(model="big.safetensors", read=pb.Read(tensor="big")))
        next(messages)
        server.terminate()
        harness.wait_until(lambda: "SIGTERM" in server.stderr(), "the server to say that it got SIGTERM")
        server.stop()  # sends the second one
        messages.cancel()

    def test_generation_is_the_same_after_a_restart_and_on_a_replica(self) -> None:
        first = self.serve(self.root)
        generations = {model["name"]: model["generation"] for model in self.cli_json("ls", server=first)}
        replica = self.directory / "replica"
        replica.mkdir()
        (replica / "m.safetensors").write_bytes((self.root / "m.safetensors").read_bytes())
        second = self.serve(replica)
        self.assertEqual({model["name"]: model["generation"] for model in self.cli_json("ls", server=second)},
                         generations)


if __name__ == "__main__":
    unittest.main()
