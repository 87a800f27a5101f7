# SPDX-License-Identifier: Apache-2.0
"""Clients that keep a server busy, while a contender is measured or as the contender itself."""

import concurrent.futures
import math
import threading
import time
from collections.abc import Callable, Sequence

from measurement import Sample
from processes import Process, Server, private_bytes, usage_of

# The time until all clients are busy.
WARM_UP_SECONDS = 0.5
# The time in which bytes are counted. 64 clients on two cores get a hundred messages each.
WINDOW_SECONDS = 3.0
BETWEEN_LOOKS_SECONDS = 0.02


class Load:
    """Workers (worker.h) that run repeatedly."""

    def __init__(self, workers: Sequence[Process], size_bytes: int) -> None:
        self._workers = workers
        self._size_bytes = size_bytes
        self._seconds: list[float] = []

    def rate(self) -> float:
        """Returns the bytes per second of all workers together while they ran."""
        return len(self._workers) * self._size_bytes * len(self._seconds) / sum(self._seconds)

    def keep_up(self, stop: threading.Event) -> None:
        """Runs the workers until `stop`. Each finishes the run that it has begun."""
        with concurrent.futures.ThreadPoolExecutor(len(self._workers)) as pool:
            for running in [pool.submit(self._repeat, worker, stop) for worker in self._workers]:
                running.result()

    def _repeat(self, worker: Process, stop: threading.Event) -> None:
        while not stop.is_set():
            self._seconds.append(float(worker.ask("run").split()[0]))


def under_load(load: Load, run: Callable[[], Sample]) -> Callable[[], Sample]:
    """Returns `run` with the load running at the same time."""
    def loaded() -> Sample:
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            keeping = pool.submit(load.keep_up, stop)
            try:
                time.sleep(WARM_UP_SECONDS)
                if keeping.done():
                    keeping.result()
                return run()
            finally:
                stop.set()
                keeping.result()
    return loaded


class Crowd:
    """Clients (loop_worker.cc) that fetch the same tensor from one server at the same time. Each is a process."""

    def __init__(self, clients: Sequence[Process], server: Server, tensor_bytes: int) -> None:
        self._clients = clients
        self._server = server
        self._tensor_bytes = tensor_bytes
        # The bytes of the fastest client divided by those of the slowest, in each round.
        self.spreads: list[float] = []
        # The largest private memory of the server during the fetches.
        self.private_bytes = 0

    def run(self) -> Sample:
        """Counts bytes in a window of time. Returns the seconds of one tensor per client at the rate of all clients
        together. A latency is the seconds of one tensor at the rate of one client."""
        begin = time.monotonic() + WARM_UP_SECONDS
        end = begin + WINDOW_SECONDS
        for client in self._clients:
            client.send(f"{begin:.9f} {end:.9f}")
        time.sleep(max(0.0, begin - time.monotonic()))
        pids = [client.popen.pid for client in self._clients]
        client_before, server_before = usage_of(pids), usage_of(self._server.pids)
        while (left := end - time.monotonic()) > 0:
            self.private_bytes = max(self.private_bytes, private_bytes(self._server.pids[0]))
            time.sleep(min(left, BETWEEN_LOOKS_SECONDS))
        client_used, server_used = usage_of(pids) - client_before, usage_of(self._server.pids) - server_before
        got = [int(client.read_line()) for client in self._clients]
        if min(got) == 0:
            print("a client received no bytes in the window")
        self.spreads.append(max(got) / min(got) if min(got) else math.inf)
        wanted = self._tensor_bytes * len(got)
        share = wanted / sum(got)
        return Sample(WINDOW_SECONDS * share, client_used.times(share), server_used.times(share),
                      [WINDOW_SECONDS * self._tensor_bytes / size if size else math.inf for size in got])
