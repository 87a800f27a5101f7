# SPDX-License-Identifier: Apache-2.0
"""The admin port: what /metrics counts, what the probes say, and that no client of it can hold it up."""

import shutil
import socket
import subprocess
import threading
import unittest

import grpc
import numpy
from grpc_health.v1 import health_pb2, health_pb2_grpc

import harness
import metrics_text
import stock_client
from metrics_text import get, scrape, total
from stock_client import pb
from tensor_files import make_tensor, write_big_file, write_safetensors

ADMIN = ("--admin-listen", "127.0.0.1:0")
SERVICE = "tensorferry.v1.TensorService"
TENSOR_BYTES = (3 << 20) + 7

NAMES = {
    "grpc_server_started_total", "grpc_server_handled_total", "grpc_server_msg_sent_total",
    "grpc_server_handling_seconds_bucket", "grpc_server_handling_seconds_sum", "grpc_server_handling_seconds_count",
    "tensorferry_sent_bytes_total", "tensorferry_active_streams", "tensorferry_models",
    "tensorferry_model_load_errors_total", "tensorferry_mapped_bytes", "tensorferry_in_flight_bytes",
    "tensorferry_scan_duration_seconds_bucket", "tensorferry_scan_duration_seconds_sum",
    "tensorferry_scan_duration_seconds_count", "tensorferry_scans_total", "tensorferry_stalled_streams_total",
    "tensorferry_faults_total", "tensorferry_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes",
    "process_virtual_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds",
    "process_threads", "process_major_page_faults_total",
}


class AdminTest(harness.EndToEndTest):
    """Every test starts its own server on a root with one good model and a bad one."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.generator = numpy.random.default_rng(harness.SEED)
        write_safetensors(self.root / "m.safetensors", [make_tensor("t", "U8", (TENSOR_BYTES,), self.generator)])
        (self.root / "bad.safetensors").write_bytes(b"bad")

    def wait_for(self, server: harness.Server, name: str, value: float, **labels: str) -> None:
        harness.wait_until(lambda: total(scrape(server), name, **labels) == value, f"{name} {labels} to be {value}")

    def test_metrics_have_their_names_and_nothing_of_models(self) -> None:
        server = self.serve(self.root, *ADMIN)
        stock_client.read_stream(stock_client.connect(server.address).GetTensor(
            pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"))))
        status, text = get(server, "/metrics")
        self.assertEqual(status, 200)
        samples = metrics_text.parse(text)
        self.assertEqual({name for name, _ in samples}, NAMES)
        for word in ("m.safetensors", "bad", '"t"', str(self.root)):
            self.assertNotIn(word, text)
        self.assertEqual(total(samples, "tensorferry_build_info"), 1)
        # The root itself is a model, too, which is bad because of one of its files.
        self.assertEqual(total(samples, "tensorferry_models", state="ready"), 1)
        self.assertEqual(total(samples, "tensorferry_models", state="failed"), 2)
        self.assertEqual(total(samples, "tensorferry_model_load_errors_total"), 2)
        self.assertGreaterEqual(total(samples, "tensorferry_mapped_bytes"), TENSOR_BYTES)
        self.assertGreaterEqual(total(samples, "tensorferry_scans_total"), 1)
        self.assertGreater(total(samples, "process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(total(samples, "process_open_fds"), 5)

    def test_promtool_has_nothing_to_say(self) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            self.skipTest("promtool is not installed (the package prometheus)")
        server = self.serve(self.root, *ADMIN)
        stock_client.read_stream(stock_client.connect(server.address).GetTensor(
            pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"))))
        _, text = get(server, "/metrics")
        checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))

    def test_calls_are_counted_by_what_they_came_to(self) -> None:
        server = self.serve(self.root, *ADMIN)
        channel = grpc.insecure_channel(server.address)
        stub = stock_client.connect(server.address)
        messages = 0
        for _ in range(3):
            stream = stock_client.read_stream(
                stub.GetTensor(pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"))))
            messages += stream.message_count
        for _ in range(2):
            with self.assertRaises(grpc.RpcError):
                list(stub.GetTensor(pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="none"))))
        with self.assertRaises(grpc.RpcError):
            list(stub.GetSlice(pb.GetSliceRequest(model="m.safetensors", read=pb.Read(tensor="t", read_offset=-1))))
        stub.ListModels(pb.ListModelsRequest())
        with self.assertRaises(grpc.RpcError):
            stub.GetMetadata(pb.GetMetadataRequest(model="none"))
        # A caller's own names must not become series.
        for method in ("/a.b/C", f"/{SERVICE}/Nothing", "/" + "x" * 100):
            with self.assertRaises(grpc.RpcError) as raised:
                channel.unary_unary(method)(b"")
            self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

        handled = "grpc_server_handled_total"
        self.wait_for(server, "grpc_server_started_total", 8)
        self.wait_for(server, handled, 8)
        samples = scrape(server)
        for method, kind, code, count in (
                ("GetTensor", "server_stream", "OK", 3), ("GetTensor", "server_stream", "NotFound", 2),
                ("GetSlice", "server_stream", "InvalidArgument", 1), ("ListModels", "unary", "OK", 1),
                ("GetMetadata", "unary", "NotFound", 1)):
            self.assertEqual(total(samples, handled, grpc_service=SERVICE, grpc_method=method, grpc_type=kind,
                                   grpc_code=code), count, (method, code))
        self.assertEqual(total(samples, "grpc_server_msg_sent_total", grpc_method="GetTensor"), messages)
        self.assertEqual(total(samples, "grpc_server_msg_sent_total"), messages + 1)
        self.assertEqual(total(samples, "tensorferry_sent_bytes_total"), 3 * TENSOR_BYTES)
        self.assertEqual(total(samples, "grpc_server_handling_seconds_count", grpc_method="GetTensor"), 5)
        self.assertEqual(total(samples, "tensorferry_active_streams"), 0)
        self.assertEqual(total(samples, "tensorferry_in_flight_bytes"), 0)

    def test_what_a_slow_client_holds_is_seen(self) -> None:
        write_big_file(self.root / "big.safetensors", "big", 64 << 20, self.generator)
        server = self.serve(self.root, *ADMIN, "--max-streams", "1")
        stub = stock_client.connect(server.address)
        call = stub.GetTensor(pb.GetTensorRequest(model="big.safetensors", read=pb.Read(tensor="big")))
        next(call)
        self.wait_for(server, "tensorferry_active_streams", 1)
        harness.wait_until(lambda: total(scrape(server), "tensorferry_in_flight_bytes") >= 1 << 20,
                           "a message to be held")
        with self.assertRaises(grpc.RpcError):
            list(stub.GetTensor(pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"))))
        self.wait_for(server, "grpc_server_handled_total", 1, grpc_code="ResourceExhausted")
        call.cancel()
        self.wait_for(server, "tensorferry_in_flight_bytes", 0)
        self.wait_for(server, "grpc_server_handled_total", 1, grpc_code="Canceled")

    def test_models_that_go_bad_are_counted(self) -> None:
        server = self.serve(self.root, *ADMIN)
        before = total(scrape(server), "tensorferry_model_load_errors_total")
        (self.root / ".new").write_bytes(b"worse")
        (self.root / ".new").rename(self.root / "m.safetensors")
        self.wait_for(server, "tensorferry_model_load_errors_total", before + 1)
        moved = self.directory / "moved"
        self.root.rename(moved)
        harness.wait_until(lambda: total(scrape(server), "tensorferry_faults_total", kind="scan") > 0, "a failed scan")
        moved.rename(self.root)

    def test_probes_say_ready_only_after_the_first_scan(self) -> None:
        for i in range(500 if harness.SANITIZED else 3000):
            shutil.copyfile(self.root / "bad.safetensors", self.root / f"bad-{i}.safetensors")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        answers = []
        done = threading.Event()

        def poll() -> None:
            while not done.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=harness.PATIENCE_SECONDS) as connection:
                        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                        with connection.makefile("rb") as answer:
                            answers.append(answer.read())
                except OSError:
                    pass

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            server = self.serve(self.root, "--admin-listen", f"127.0.0.1:{port}")
            harness.wait_until(lambda: any(b"\r\n\r\nok\n" in answer for answer in answers), "the server to be ready")
        finally:
            done.set()
            poller.join()
        self.assertIn(b"503", answers[0].splitlines()[0])
        self.assertIn(b"starting", answers[0])
        self.assertEqual(get(server, "/readyz"), (200, "ok\n"))

    def test_probes_and_health_tell_of_the_end(self) -> None:
        server = self.serve(self.root, *ADMIN, "--lame-duck", "600")
        health = health_pb2_grpc.HealthStub(grpc.insecure_channel(server.address))

        def statuses() -> list[int]:
            return [health.Check(health_pb2.HealthCheckRequest(service=name)).status
                    for name in ("", "readiness", SERVICE, "liveness")]

        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        self.assertEqual(statuses(), [serving] * 4)
        self.assertEqual(get(server, "/readyz"), (200, "ok\n"))
        self.assertEqual(get(server, "/livez"), (200, "ok\n"))
        for name in ("", "liveness", "readiness"):
            self.cli_succeeds("health", "--service", name, server=server)
        self.cli_fails(1, ("nothing", server.address), "health", "--service", "nothing", server=server)

        server.terminate()
        harness.wait_until(lambda: get(server, "/readyz")[0] == 503, "the server to be unready")
        self.assertIn("draining", get(server, "/readyz")[1])
        self.assertEqual(get(server, "/livez"), (200, "ok\n"))
        self.assertEqual(statuses(), [not_serving] * 3 + [serving])
        self.cli_succeeds("health", "--service", "liveness", server=server)
        self.cli_fails(1, ("not serving",), "health", "--service", "readiness", server=server)
        # New calls are still served, until a second signal ends it.
        self.assertEqual(len(self.cli_json("ls", server=server)), 3)
        server.stop()
        self.cli_fails(1, (server.address,), "health", server=server)

    def test_idle_slow_and_huge_requests_hold_nothing_up(self) -> None:
        server = self.serve(self.root, *ADMIN)
        host, port = server.admin.rsplit(":", 1)
        connections = []
        for i in range(200):
            connection = socket.create_connection((host, int(port)), timeout=harness.PATIENCE_SECONDS)
            self.addCleanup(connection.close)
            if i % 2:
                connection.sendall(b"GET /metrics HT")
            connections.append(connection)
        for path in ("/readyz", "/livez", "/metrics"):
            self.assertEqual(get(server, path)[0], 200)
        # The idle connections were closed for that.
        self.assertLess(total(scrape(server), "process_open_fds"), 150)
        with socket.create_connection((host, int(port)), timeout=harness.PATIENCE_SECONDS) as endless:
            try:
                for _ in range(64):
                    endless.sendall(b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 1000 + b"\r\n")
                    endless.sendall(b"x: " + b"y" * 4000 + b"\r\n")
                while endless.recv(4096):
                    pass
            except ConnectionError:
                pass
        for method, path, code in (("POST", "/metrics", b"404"), ("GET", "/nothing", b"404"), ("HEAD", "/livez", b"200"),
                                   ("NONSENSE", "/metrics", b"400")):
            with socket.create_connection((host, int(port)), timeout=harness.PATIENCE_SECONDS) as connection:
                connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
                with connection.makefile("rb") as answer:
                    self.assertIn(code, answer.readline(), (method, path))
        self.assertEqual(get(server, "/readyz"), (200, "ok\n"))

    def test_liveness_asks_for_a_new_connection(self) -> None:
        for listen in ("localhost:0", "[::1]:0", "0.0.0.0:0", "[::]:0", f"unix-abstract:{self.directory}",
                       f"unix:{self.directory}/socket"):
            server = self.serve(self.root, *ADMIN, "--insecure", listen=listen)
            self.assertEqual(get(server, "/livez"), (200, "ok\n"), listen)
        # The last one's listener is still there, but nobody gets to it any more.
        (self.directory / "socket").unlink()
        self.assertEqual(get(server, "/livez")[0], 503)
        self.assertIn("socket", get(server, "/livez")[1])

    def test_admin_port_in_use_is_told(self) -> None:
        server = self.serve(self.root, *ADMIN)
        result = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--root", str(self.root), "--listen",
                                      "127.0.0.1:0", "--admin-listen", server.admin])
        self.assert_one_line_error(result, 1, server.admin, "--admin-listen")


if __name__ == "__main__":
    unittest.main()
