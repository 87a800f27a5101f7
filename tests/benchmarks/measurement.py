# SPDX-License-Identifier: Apache-2.0
"""Contenders that take turns, and tables of their results."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

from processes import Process, Usage, usage_of


@dataclasses.dataclass
class Sample:
    """The measurements of one round."""
    seconds: float
    client: Usage = Usage()
    server: Usage = Usage()
    latencies: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Contender:
    """One of several programs that do the same work."""
    name: str
    run: Callable[[], Sample]
    # Returns the checksum of the client's memory, to compare; None if no bytes arrive.
    check: Callable[[], str] | None = None
    size_bytes: int = 0
    samples: list[Sample] = dataclasses.field(default_factory=list)

    def median_seconds(self) -> float:
        return statistics.median(sample.seconds for sample in self.samples)


def measure(process: Process, pids: Sequence[int], repeats: int = 1) -> Sample:
    """Returns the average of `repeats` runs of a worker (worker.h). `pids` are the processes of its server."""
    total = Sample(0.0)
    before = usage_of(pids)
    for _ in range(repeats):
        seconds, cpu_seconds, faults, *latencies = process.ask("run").split()
        total.seconds += float(seconds) / repeats
        total.client += Usage(float(cpu_seconds), int(faults))
        total.latencies += map(float, latencies or [seconds])
    total.client = total.client.times(1 / repeats)
    total.server = (usage_of(pids) - before).times(1 / repeats)
    return total


def worker(name: str, command: Sequence[object], pids: Sequence[int], size_bytes: int, repeats: int = 1) -> Contender:
    """Returns a contender whose client is a worker. Each round uses a new process, warmed by an untimed run: the first
    run of a process decides how its allocator returns memory, and so how fast the client is.
    """
    def check() -> str:
        with Process(command) as process:
            return process.ask("check").strip()

    def run() -> Sample:
        with Process(command) as process:
            process.ask("run")
            return measure(process, pids, repeats)

    return Contender(name, run, check, size_bytes)


def take_turns(contenders: Sequence[Contender], rounds: int) -> None:
    """Compares the received bytes of all contenders, and then measures each once per round. The order rotates, because
    the second contender may find warmer caches."""
    landed = {contender.name: contender.check() for contender in contenders if contender.check}
    by_size = {contender.name: contender.size_bytes for contender in contenders}
    for size in set(by_size.values()):
        of_size = {name: crc for name, crc in landed.items() if by_size[name] == size}
        if len(set(of_size.values())) > 1:
            raise RuntimeError(f"the contenders did not receive the same bytes: {of_size}")
    for turn in range(rounds):
        for i in range(len(contenders)):
            contender = contenders[(i + turn) % len(contenders)]
            contender.samples.append(contender.run())
            time.sleep(0.02)  # lets deferred work of one contender finish before the next


def cpu_ratio(ours: Contender, peer: Contender) -> float:
    """Returns the ratio of the CPU time of client and server per byte: the median over the rounds."""
    def spent(contender: Contender) -> list[float]:
        return [(sample.client.cpu_seconds + sample.server.cpu_seconds) / contender.size_bytes for sample in contender.samples]
    return statistics.median(a / b for a, b in zip(spent(ours), spent(peer), strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(contenders: Sequence[Contender]) -> None:
    print(f"{'':32} {'MB/s':>7} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9}"
          f" {'client s/GB':>12} {'server s/GB':>12} {'faults/GB':>11}")
    for contender in contenders:
        seconds = contender.median_seconds()
        latencies = [latency for sample in contender.samples for latency in sample.latencies or [sample.seconds]]
        gigabytes = contender.size_bytes * len(contender.samples) / 1e9
        client = sum((sample.client for sample in contender.samples), Usage())
        server = sum((sample.server for sample in contender.samples), Usage())
        columns = [f"{contender.name:32}", f"{contender.size_bytes / 1e6 / seconds:7.0f}" if gigabytes else f"{'':7}"]
        columns += [f"{1000 * percentile(latencies, share):9.3f}" for share in (0.5, 0.95, 0.99)]
        if gigabytes:
            columns += [f"{client.cpu_seconds / gigabytes:12.3f}", f"{server.cpu_seconds / gigabytes:12.3f}",
                        f"{(client.faults + server.faults) / gigabytes:11.0f}"]
        print(" ".join(columns))


def ratio(ours: Contender, peer: Contender) -> float:
    """Returns the ratio of the rates in bytes, or in runs if there are no bytes: the median over the rounds."""
    scale = ours.size_bytes / peer.size_bytes if peer.size_bytes else 1.0
    return scale * statistics.median(b.seconds / a.seconds for a, b in zip(ours.samples, peer.samples, strict=True))
