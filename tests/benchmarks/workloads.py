# SPDX-License-Identifier: Apache-2.0
"""The named workloads: their contenders, files and goals."""

import functools
import pathlib
import statistics
import subprocess
import sys
import time

from goals import Goal, as_fast, cpu_time, latency, of_the_best
from load import Crowd
from measurement import Contender, Sample, measure, worker
from model_files import ModelFile, Tensor, drop_from_cache, expert_tensors, mixed_tensors, warm, write_model
from processes import Process, private_bytes, tensorferryd, usage_of
from stage import Place, Stage, ranges_of, whole_of

SOURCES = pathlib.Path(__file__).resolve().parent


def one_gib(place: Place) -> ModelFile:
    return write_model(place.root / "one-gib.safetensors", [Tensor("tensor", "U8", (1 << 30,))])


def whole(stage: Stage) -> list[Goal]:
    """one tensor of 1 GiB"""
    file = one_gib(stage.place)
    warm(file.path)
    stage.fetch("tensorferry", file, whole_of(file))
    stage.http("nginx", file, ranges_of(file))
    stage.flight("Arrow Flight", file, ranges_of(file))
    # The rate of gRPC alone: the same messages of the same mapping, copied to the same place, without checksums.
    stage.echo("bare gRPC", file, ranges_of(file), "stream")
    return [as_fast("bare gRPC", "nginx"), as_fast("tensorferry", "bare gRPC"),
            as_fast("tensorferry", "nginx", 1.4), as_fast("tensorferry", "Arrow Flight", 1.6),
            cpu_time("tensorferry", "Arrow Flight", 0.72)]


def slices(stage: Stage) -> list[Goal]:
    """an eighth of the columns of an [8192, 8192] BF16 tensor"""
    file = write_model(stage.place.root / "matrix.safetensors", [Tensor("matrix", "BF16", (8192, 8192))])
    warm(file.path)
    matrix = file.tensors[0]
    rows = [(matrix.offset + row * 16384 + 2048, 2048) for row in range(8192)]
    stage.fetch("tensorferry", file, [(matrix, "[:, 1024:2048]", 16 << 20)], repeats=10)
    stage.fetch("tensorferry, all of the tensor", file, whole_of(file), repeats=3)
    stage.http("nginx, a request per row", file, rows)
    stage.http("nginx, the same on 4 connections", file, rows, connections=4)
    return [as_fast("tensorferry", "nginx, a request per row", 40), as_fast("tensorferry", "nginx, the same on 4 connections", 40),
            as_fast("tensorferry", "tensorferry, all of the tensor", 0.6)]


def small(stage: Stage) -> list[Goal]:
    """20,000 tensors of 4 KiB in one plan"""
    file = write_model(stage.place.root / "small.safetensors", expert_tensors(20000, 4096))
    warm(file.path)
    stage.fetch("tensorferry", file, whole_of(file), repeats=5)
    stage.http("nginx, a request per tensor", file, ranges_of(file))
    stage.http("nginx, the same on 4 connections", file, ranges_of(file), connections=4)
    return [as_fast("tensorferry", "nginx, a request per tensor", 30),
            as_fast("tensorferry", "nginx, the same on 4 connections", 30)]


def plan(stage: Stage) -> list[Goal]:
    """1,000 tensors of 2 GiB in one plan, against one tensor of 2 GiB"""
    many = write_model(stage.place.root / "mixed.safetensors", mixed_tensors())
    single = write_model(stage.place.root / "two-gib.safetensors", [Tensor("tensor", "U8", (2 << 30,))])
    warm(many.path)
    warm(single.path)
    stage.fetch("tensorferry, 1,000 tensors", many, whole_of(many))
    stage.fetch("tensorferry, one tensor", single, whole_of(single))
    return [as_fast("tensorferry, 1,000 tensors", "tensorferry, one tensor", 0.95)]


def small_reads(place: Place, count: int) -> ModelFile:
    file = write_model(place.root / "small.safetensors", expert_tensors(20000, 4096))
    warm(file.path)
    return ModelFile(file.path, file.tensors[:count])


def one_read(stage: Stage) -> list[Goal]:
    """4 KiB reads, one after another"""
    few = small_reads(stage.place, 1000)
    stage.fetch("tensorferry", few, whole_of(few), each=True)
    stage.echo("gRPC echo, unary", few, ranges_of(few), "unary")
    stage.echo("gRPC echo, stream", few, ranges_of(few), "stream")
    stage.http("nginx", few, ranges_of(few))
    stage.flight("Arrow Flight", few, ranges_of(few))
    return [latency("tensorferry", "gRPC echo, unary", 0.5, 1.3),
            latency("tensorferry", "gRPC echo, stream", 0.5, 1.3)]


def mixed(stage: Stage) -> list[Goal]:
    """4 KiB reads, idle and mixed with two streams of 1 GiB to other processes; the server's columns include both"""
    few = small_reads(stage.place, 2000)
    bulk = one_gib(stage.place)
    warm(bulk.path)
    ours, peer = whole_of(few), ranges_of(few)
    goals = []
    for name, add, limit in (
            ("tensorferry", lambda label, load: stage.fetch(label, few, ours, each=True, load=load), 5),
            # A lower bound: calls to a separate server that does next to nothing, while the same streams run.
            ("gRPC echo, stream", lambda label, load: stage.echo(label, few, peer, "stream", load=load), None),
            ("nginx", lambda label, load: stage.http(label, few, peer, load=load), None)):
        add(f"{name}, idle", None)
        add(f"{name}, mixed", bulk)
        goals.append(latency(f"{name}, mixed", f"{name}, idle", 0.99, limit))
    return goals


def many_clients(stage: Stage) -> list[Goal]:
    """1 to 64 clients, each a process that fetches a tensor of 256 MiB repeatedly; a latency is one such tensor"""
    place = stage.place
    file = write_model(place.root / "quarter-gib.safetensors", [Tensor("tensor", "U8", (256 << 20,))])
    warm(file.path)
    tensor = file.tensors[0]
    counts = (1, 2, 4, 16, 64)
    goals = []
    for prefix, binaries in place.builds(""):
        server = stage.tensorferryd(binaries)
        command = [binaries / "loop_worker", "--server", server.address, "--model", file.path.name,
                   "--tensor", tensor.name]
        clients = [stage.stack.enter_context(Process(command)) for _ in range(counts[-1])]
        names = [f"{prefix}{count} client{'s' * (count > 1)}" for count in counts]
        for count, name in zip(counts, names):
            crowd = Crowd(clients[:count], server, tensor.size_bytes)
            stage.contenders.append(Contender(name, crowd.run, size_bytes=count * tensor.size_bytes))
        most = names[-1]
        goals += [
            of_the_best(most, names, 0.85),
            Goal(f"{most}: bytes of the fastest / of the slowest", lambda _, all_of=crowd: statistics.median(all_of.spreads),
                 2, at_most=True),
            Goal(f"{most}: private memory of the server, MiB", lambda _, all_of=crowd: all_of.private_bytes / 2**20,
                 64 + 2 * counts[-1], at_most=True),
        ]
    return goals


def cold(stage: Stage) -> list[Goal]:
    """one tensor of 1 GiB that is not in the page cache"""
    place = stage.place
    file = one_gib(place)
    directory = place.directory / "cold"
    directory.mkdir(exist_ok=True)
    link = directory / file.path.name
    link.unlink(missing_ok=True)
    link.hardlink_to(file.path)
    tensor = file.tensors[0]
    lines = place.directory / "list-cold"
    lines.write_text(f"{tensor.name}\t\t{tensor.size_bytes}\n")

    def fetch(binaries: pathlib.Path) -> Sample:
        # Each round has a new server, because pages that a mapping has touched cannot be dropped.
        with tensorferryd(binaries, directory, place.directory / "tensorferryd.log") as server:
            command = [binaries / "fetch_worker", "--server", server.address, "--model", link.name, "--reads", lines,
                       "--connections", 1]
            with Process(command) as client:
                drop_from_cache(link)
                return measure(client, server.pids)

    def cat() -> Sample:
        drop_from_cache(link)
        start = time.monotonic()
        subprocess.run(["cat", link], check=True, stdout=subprocess.DEVNULL)
        return Sample(time.monotonic() - start)

    for name, binaries in place.builds("tensorferry"):
        stage.contenders.append(Contender(name, functools.partial(fetch, binaries), size_bytes=tensor.size_bytes))
    stage.contenders.append(Contender("cat", cat, size_bytes=tensor.size_bytes))
    return [as_fast("tensorferry", "cat", 0.9)]


def connections(stage: Stage) -> list[Goal]:
    """automatic connections against 1, 2 and 4: 1 GiB, 20,000 tensors of 4 KiB, 1 GiB over TLS, 4 KiB reads"""
    single = one_gib(stage.place)
    warm(single.path)
    many = small_reads(stage.place, 20000)
    goals = []
    for what, file, repeats, tls in (("1 GiB", single, 1, False), ("20,000 tensors", many, 5, False),
                                     ("1 GiB over TLS", single, 1, True)):
        fixed = {f"{what}, {count} connection{'s' * (count > 1)}": count for count in (1, 2, 4)}
        for name, count in {f"{what}, automatic": 0, **fixed}.items():
            stage.fetch_on(count, name, file, repeats=repeats, tls=tls)
        goals.append(of_the_best(f"{what}, automatic", list(fixed), 0.9, "(1, 2, 4)"))
    few = small_reads(stage.place, 1000)
    stage.fetch_on(0, "4 KiB reads, automatic", few, each=True)
    stage.fetch_on(1, "4 KiB reads, 1 connection", few, each=True)
    return [*goals, latency("4 KiB reads, automatic", "4 KiB reads, 1 connection", 0.5, 1.05)]


def headers(stage: Stage) -> list[Goal]:
    """opening a file of 100,000 tensors: reading, parsing and validating its header"""
    file = write_model(stage.place.directory / "header.safetensors", expert_tensors(100000, 16))
    reference = [sys.executable, SOURCES / "reference_worker.py", file.path]
    for name, binaries in stage.place.builds("tensorferry"):
        stage.contenders.append(worker(name, [binaries / "header_worker", file.path], (), 0, repeats=5))
    stage.contenders.append(worker("reference, safe_open", reference, (), 0, repeats=2))
    return [as_fast("tensorferry", "reference, safe_open", 5)]


def start_up(stage: Stage) -> list[Goal]:
    """start of a server until it serves 1,000 files with 500,000 tensors of 4 KiB"""
    place = stage.place
    root = place.directory / "many"
    for i in range(1000):
        path = root / f"model-{i:05}-of-01000.safetensors"
        write_model(path, expert_tensors(500, 4096, first=500 * i), sparse=True)
        warm(path)
    empty = place.directory / "empty"
    empty.mkdir(exist_ok=True)
    log = place.directory / "tensorferryd.log"

    def start(binaries: pathlib.Path) -> Sample:
        begin = time.monotonic()
        with tensorferryd(binaries, root, log) as server:
            seconds = time.monotonic() - begin
            used = usage_of(server.pids)
            memory = private_bytes(server.pids[0])
        with tensorferryd(binaries, empty, log) as server:
            memory -= private_bytes(server.pids[0])
        per_tensor[binaries] = memory / 500000
        return Sample(seconds, server=used)

    per_tensor: dict[pathlib.Path, float] = {}
    for name, binaries in place.builds("tensorferryd"):
        stage.contenders.append(Contender(name, functools.partial(start, binaries)))
    stage.stack.callback(lambda: [print(f"private memory: {size:.0f} bytes per tensor") for size in per_tensor.values()])
    return []


WORKLOADS = {
    "whole": whole,
    "slice": slices,
    "small": small,
    "plan": plan,
    "read": one_read,
    "mixed": mixed,
    "clients": many_clients,
    "cold": cold,
    "connections": connections,
    "header": headers,
    "start": start_up,
}
