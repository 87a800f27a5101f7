# SPDX-License-Identifier: Apache-2.0
"""How a server goes away: what it still does then, and that those who fetch notice nothing."""

import concurrent.futures
import re
import signal
import socket
import threading
import unittest

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import harness
import metrics_text
import stock_client
from big_tensor_fixture import BigTensorFixture
from metrics_text import scrape, total
from stock_client import pb

FETCHES_AT_ONCE = 32
# A stream must not be waited for so long that a test is killed; one that is waited for ends sooner.
LONG_DRAIN = ("--drain-timeout", "600")


class DrainTest(BigTensorFixture):
    """Every test starts servers on one root with one large model."""

    TENSOR_BYTES = (8 if harness.SANITIZED else 24) << 20

    def start_stream(self, server: harness.Server) -> grpc.Call:
        # Else gRPC may take in all of the tensor by itself.
        messages = stock_client.connect(server.address, ("grpc.http2.bdp_probe", 0)).GetTensor(
            pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t")))
        self.first = next(messages)
        return messages

    def test_lame_duck_serves_new_connections_and_then_no_more(self) -> None:
        server = self.serve(self.root, "--admin-listen", "127.0.0.1:0", "--lame-duck", "600", *LONG_DRAIN)
        messages = self.start_stream(server)
        server.terminate()
        harness.wait_until(lambda: metrics_text.get(server, "/readyz")[0] == 503, "the server to be unready")
        self.fetch([server.address])
        server.terminate()  # the second signal ends all waiting
        self.assertEqual(server.process.wait(harness.PATIENCE_SECONDS), 0)
        with self.assertRaises(grpc.RpcError) as raised:
            list(messages)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_streams_finish_while_nothing_new_is_accepted(self) -> None:
        server = self.serve(self.root, *LONG_DRAIN)
        messages = self.start_stream(server)
        server.terminate()

        def is_refused() -> bool:
            host, port = server.address.rsplit(":", 1)
            try:
                socket.create_connection((host, int(port)), timeout=harness.PATIENCE_SECONDS).close()
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:  # it waited to be accepted when the listener closed
                return False
            return False

        harness.wait_until(is_refused, "new connections to be refused")
        self.assertIsNone(server.process.poll())
        stream = stock_client.read_stream([self.first, *messages])
        self.assertTrue(stream.data[0] == self.data, "wrong bytes")
        self.assertEqual(server.process.wait(harness.PATIENCE_SECONDS), 0)

    def test_open_health_watch_does_not_hold_the_end(self) -> None:
        server = self.serve(self.root, *LONG_DRAIN)
        watch = health_pb2_grpc.HealthStub(grpc.insecure_channel(server.address)).Watch(
            health_pb2.HealthCheckRequest(service="readiness"))
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        server.terminate()
        self.assertEqual(server.process.wait(harness.PATIENCE_SECONDS), 0)

    def test_stream_that_outlasts_the_drain_goes_on_elsewhere(self) -> None:
        going = self.serve(self.root, "--drain-timeout", "0", "--admin-listen", "127.0.0.1:0")
        staying = self.serve(self.root, "--admin-listen", "127.0.0.1:0")
        messages = self.start_stream(going)  # which nobody reads
        with concurrent.futures.ThreadPoolExecutor() as pool:
            fetch = pool.submit(self.fetch, [going.address, staying.address], "--retries", "20")
            harness.wait_until(lambda: fetch.done() or total(scrape(going), "tensorferry_active_streams") > 1,
                               "the fetch to begin")
            going.terminate()
            fetch.result()
        self.assertEqual(going.process.wait(harness.PATIENCE_SECONDS), 0)
        with self.assertRaises(grpc.RpcError) as raised:
            list(messages)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_many_fetches_lose_nothing_when_one_of_two_servers_goes(self) -> None:
        for drain_seconds in ("600", "0"):
            with self.subTest(drain_seconds):
                going = self.serve(self.root, "--admin-listen", "127.0.0.1:0", "--drain-timeout", drain_seconds)
                staying = self.serve(self.root)
                with concurrent.futures.ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
                    fetches = [pool.submit(self.fetch, [going.address, staying.address], "--retries", "20")
                               for _ in range(FETCHES_AT_ONCE)]
                    harness.wait_until(lambda: total(scrape(going), "tensorferry_active_streams") > 0,
                                       "fetches to begin")
                    going.terminate()
                    for fetch in concurrent.futures.as_completed(fetches):
                        fetch.result()
                going.stop()
                staying.stop()

    def test_rolling_restart_fails_no_fetch_and_everything_is_counted(self) -> None:
        hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
        flags = ("--admin-listen", "127.0.0.1:0", "--lame-duck", "1", *LONG_DRAIN)
        servers = [harness.Server(self.root, *flags, listen=f"{host}:0") for host in hosts]
        addresses = [server.address for server in servers]
        ended: list[str] = []
        stop = threading.Event()
        counted = {"bytes": 0, "OK": 0, "NotFound": 0}
        lock = threading.Lock()

        def fetch_on(number: int) -> int:
            """Fetches with our client until all is over; striped over the servers, every other time."""
            rotated = addresses[number % 3:] + addresses[:number % 3]
            done = 0
            while not stop.is_set() or done == 0:
                self.fetch(rotated, "--retries", "20", "--connections", str(1 + 2 * (done % 2)))
                done += 1
            return done * self.TENSOR_BYTES

        def call_on(number: int) -> int:
            """The same with a stock client, by calls that our client does not make; counts them by their codes."""
            received = 0
            calls = 0
            stubs = [stock_client.connect(address) for address in addresses]
            while not stop.is_set() or calls == 0:
                stub = stubs[(number + calls) % 3]
                calls += 1
                code = "OK"
                size = 0
                try:
                    if calls % 4:
                        for answer in stub.GetSlice(pb.GetSliceRequest(
                                model="m.safetensors", read=pb.Read(tensor="t", read_limit=2 << 20))):
                            size += len(answer.chunk.data)
                    else:
                        list(stub.GetSlice(pb.GetSliceRequest(model="m.safetensors", read=pb.Read(tensor="none"))))
                except grpc.RpcError as error:
                    code = {grpc.StatusCode.NOT_FOUND: "NotFound",
                            # It was not there, or closing: no call of it came to a server.
                            grpc.StatusCode.UNAVAILABLE: None, grpc.StatusCode.CANCELLED: None}[error.code()]
                    self.assertEqual(size, 0)
                if code is None:
                    continue
                received += size
                with lock:
                    counted[code] += 1
            return received

        try:
            with concurrent.futures.ThreadPoolExecutor() as pool:
                work = [pool.submit(fetch_on, i) for i in range(3)] + [pool.submit(call_on, i) for i in range(3)]
                for i, address in enumerate(addresses):
                    servers[i].terminate()
                    self.assertEqual(servers[i].process.wait(harness.PATIENCE_SECONDS), 0)
                    ended.append(servers[i].stderr())
                    servers[i].stop()
                    servers[i] = harness.Server(self.root, *flags, listen=address)
                stop.set()
                counted["bytes"] = sum(future.result() for future in work)
            # Every call has its end here, too, a moment later.
            for server in servers:
                harness.wait_until(lambda server=server: total(scrape(server), "grpc_server_started_total") ==
                                   total(scrape(server), "grpc_server_handled_total"), "the calls to end")
            samples = [scrape(server) for server in servers]
        finally:
            stop.set()
            for server in servers:
                server.process.send_signal(signal.SIGINT)
                server.stop()
        # The counters of ended servers are gone. Their last log lines have the totals.
        def told(pattern: str) -> int:
            return sum(int((re.findall(pattern, log) or ["0"])[-1]) for log in ended)

        self.assertEqual(sum(total(sample, "tensorferry_sent_bytes_total") for sample in samples)
                         + told(r" sent_bytes=(\d+)\n"), counted["bytes"])
        self.assertEqual(sum(total(sample, "grpc_server_handled_total", grpc_code="NotFound") for sample in samples)
                         + told(r"(\d+) NotFound"), counted["NotFound"])
        codes = {"OK", "NotFound"}
        self.assertEqual({code for sample in samples for (name, labels), value in sample.items() if value > 0
                          for label, code in labels if label == "grpc_code"}, codes)
        for log in ended:
            self.assertNotIn("cut off", log)


if __name__ == "__main__":
    unittest.main()
