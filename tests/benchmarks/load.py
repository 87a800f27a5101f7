# SPDX-License-Identifier: Apache-2.0
"""Clients that keep a server busy: beside somebody who is measured, or as what is measured."""

import concurrent.futures
import math
import threading
import time
from collections.abc import Callable, Sequence

from measurement import Sample
from processes import Process, Server, private_bytes, usage_of

# Until everyone is at work.
WARM_UP_SECONDS = 0.5
# In which bytes are counted: 64 clients on two cores get a hundred messages each.
WINDOW_SECONDS = 3.0
BETWEEN_LOOKS_SECONDS = 0.02


class Load:
    """Workers (worker.h) that run again and again."""

    def __init__(self, workers: Sequence[Process], size_bytes: int) -> None:
        self._workers = workers
        self._size_bytes = size_bytes
        self._seconds: list[float] = []

    def rate(self) -> float:
        """Bytes per second of all workers together, while they were at it."""
        return len(self._workers) * self._size_bytes * len(self._seconds) / sum(self._seconds)

    def keep_up(self, stop: threading.Event) -> None:
        """Runs them until `stop`, each to the end of what it has begun."""
        with concurrent.futures.ThreadPoolExecutor(len(self._workers)) as pool:
            for running in [pool.submit(self._repeat, worker, stop) for worker in self._workers]:
                running.result()

    def _repeat(self, worker: Process, stop: threading.Event) -> None:
        while not stop.is_set():
            self._seconds.append(float(worker.ask("run").split()[0]))


def beside(load: Load, run: Callable[[], Sample]) -> Callable[[], Sample]:
    """`run` while the load does its work."""
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
    """Clients (loop_worker.cc), each a process, that fetch the same tensor from one server at the same time."""

    def __init__(self, clients: Sequence[Process], server: Server, tensor_bytes: int) -> None:
        self._clients = clients
        self._server = server
        self._tensor_bytes = tensor_bytes
        # How many times as much as the slowest client the fastest one got, in each round.
        self.spreads: list[float] = []
        # The most private memory that the server had while they fetched.
        self.private_bytes = 0

    def run(self) -> Sample:
        """How long one tensor for each of them takes at the rate that all of them had together in a window of time; a
        latency is how long it takes at the rate that one of them had."""
        begin = time.monotonic() + WARM_UP_SECONDS
        end = begin + WINDOW_SECONDS
        for client in self._clients:
            client.tell(f"{begin:.9f} {end:.9f}")
        time.sleep(max(0.0, begin - time.monotonic()))
        pids = [client.popen.pid for client in self._clients]
        client_before, server_before = usage_of(pids), usage_of(self._server.pids)
        while (left := end - time.monotonic()) > 0:
            self.private_bytes = max(self.private_bytes, private_bytes(self._server.pids[0]))
            time.sleep(min(left, BETWEEN_LOOKS_SECONDS))
        client_used, server_used = usage_of(pids) - client_before, usage_of(self._server.pids) - server_before
        got = [int(client.read_line()) for client in self._clients]
        if min(got) == 0:
            print("a client got nothing")
        self.spreads.append(max(got) / min(got) if min(got) else math.inf)
        wanted = self._tensor_bytes * len(got)
        share = wanted / sum(got)
        return Sample(WINDOW_SECONDS * share, client_used.times(share), server_used.times(share),
                      [WINDOW_SECONDS * self._tensor_bytes / size if size else math.inf for size in got])
