# SPDX-License-Identifier: Apache-2.0
"""The named workloads: who competes in them, over which files, and what the ratios shall be."""

import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

from measurement import Contender, Goal, Sample, worker
from model_files import ModelFile, Tensor, drop_from_cache, expert_tensors, mixed_tensors, warm, write_model
from processes import Process, Server, flight_server, nginx, private_bytes, tensorferryd, usage_of

SOURCES = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the programs are and where files may be written."""
    binaries: pathlib.Path
    other_binaries: pathlib.Path | None
    directory: pathlib.Path

    @property
    def root(self) -> pathlib.Path:
        return self.directory / "root"


class Stage:
    """The servers of one workload and the workers that are their clients; all end with it."""

    def __init__(self, place: Place, stack: contextlib.ExitStack) -> None:
        self.place = place
        self.stack = stack
        self.contenders: list[Contender] = []
        self._servers: dict[object, Server] = {}
        self._lists = 0

    def _server(self, key: object, start: contextlib.AbstractContextManager[Server]) -> Server:
        if key not in self._servers:
            self._servers[key] = self.stack.enter_context(start)
        return self._servers[key]

    def _list(self, lines: Iterable[str]) -> pathlib.Path:
        self._lists += 1
        path = self.place.directory / f"list-{self._lists}"
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def _add(self, name: str, command: list[object], server: Server, size_bytes: int, repeats: int) -> None:
        self.contenders.append(
            self.stack.enter_context(worker(name, command, server.pids, size_bytes, repeats)))

    def fetch(self, name: str, file: ModelFile, reads: Iterable[tuple[Tensor, str, int]], *, each: bool = False,
              repeats: int = 1) -> None:
        """tensorferry: of each tensor the slice, whose result has that many bytes."""
        builds = [(name, self.place.binaries)]
        if self.place.other_binaries:
            builds.append((f"other build: {name}", self.place.other_binaries))
        reads = list(reads)
        for label, binaries in builds:
            log = self.place.directory / "tensorferryd.log"
            server = self._server(binaries, tensorferryd(binaries, self.place.root, log))
            lines = self._list(f"{tensor.name}\t{text}\t{size}" for tensor, text, size in reads)
            command = [binaries / "fetch_worker", "--server", server.address, "--model", file.path.name, "--reads", lines]
            self._add(label, command + ["--each"] * each, server, sum(size for _, _, size in reads), repeats)

    def http(self, name: str, file: ModelFile, ranges: Iterable[tuple[int, int]], *, connections: int = 1,
             repeats: int = 1) -> None:
        """nginx: one request for each offset and size."""
        ranges = list(ranges)
        server = self._server("nginx", nginx(self.place.root, self.place.directory / "nginx"))
        lines = self._list(f"{offset} {size}" for offset, size in ranges)
        command = [self.place.binaries / "http_worker", "--server", server.address, "--url", f"/{file.path.name}",
                   "--ranges", lines, "--connections", connections]
        self._add(name, command, server, sum(size for _, size in ranges), repeats)

    def flight(self, name: str, file: ModelFile, ranges: Iterable[tuple[int, int]], *, repeats: int = 1) -> None:
        """Arrow Flight: one call for each offset and size; nobody if it was not built."""
        program = self.place.binaries / "flight_server"
        if not program.exists():
            print("Arrow Flight is missing: it was not built (tests/benchmarks/CMakeLists.txt)")
            return
        ranges = list(ranges)
        server = self._server(file.path, flight_server(self.place.binaries, file.path))
        lines = self._list(f"{offset} {size}" for offset, size in ranges)
        command = [self.place.binaries / "flight_worker", server.address, lines]
        self._add(name, command, server, sum(size for _, size in ranges), repeats)


def whole_of(file: ModelFile) -> list[tuple[Tensor, str, int]]:
    return [(tensor, "", tensor.size_bytes) for tensor in file.tensors]


def ranges_of(file: ModelFile) -> list[tuple[int, int]]:
    return [(tensor.offset, tensor.size_bytes) for tensor in file.tensors]


def one_gib(place: Place) -> ModelFile:
    return write_model(place.root / "one-gib.safetensors", [Tensor("tensor", "U8", (1 << 30,))])


def whole(stage: Stage) -> list[Goal]:
    """one tensor of 1 GiB"""
    file = one_gib(stage.place)
    warm(file.path)
    stage.fetch("tensorferry", file, whole_of(file))
    stage.http("nginx", file, ranges_of(file))
    stage.flight("Arrow Flight", file, ranges_of(file))
    return [Goal("tensorferry", "nginx", 1.4), Goal("tensorferry", "Arrow Flight", 1.6)]


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
    return [Goal("tensorferry", "nginx, a request per row", 40), Goal("tensorferry", "nginx, the same on 4 connections", 40),
            Goal("tensorferry", "tensorferry, all of the tensor", 0.6)]


def small(stage: Stage) -> list[Goal]:
    """20,000 tensors of 4 KiB in one plan"""
    file = write_model(stage.place.root / "small.safetensors", expert_tensors(20000, 4096))
    warm(file.path)
    stage.fetch("tensorferry", file, whole_of(file), repeats=5)
    stage.http("nginx, a request per tensor", file, ranges_of(file))
    stage.http("nginx, the same on 4 connections", file, ranges_of(file), connections=4)
    return [Goal("tensorferry", "nginx, a request per tensor", 30),
            Goal("tensorferry", "nginx, the same on 4 connections", 30)]


def plan(stage: Stage) -> list[Goal]:
    """1,000 tensors of 2 GiB in one plan, against one tensor of 2 GiB"""
    mixed = write_model(stage.place.root / "mixed.safetensors", mixed_tensors())
    single = write_model(stage.place.root / "two-gib.safetensors", [Tensor("tensor", "U8", (2 << 30,))])
    warm(mixed.path)
    warm(single.path)
    stage.fetch("tensorferry, 1,000 tensors", mixed, whole_of(mixed))
    stage.fetch("tensorferry, one tensor", single, whole_of(single))
    return [Goal("tensorferry, 1,000 tensors", "tensorferry, one tensor", 0.95)]


def one_read(stage: Stage) -> list[Goal]:
    """4 KiB reads, one after another"""
    file = write_model(stage.place.root / "small.safetensors", expert_tensors(20000, 4096))
    few = ModelFile(file.path, file.tensors[:1000])
    warm(file.path)
    stage.fetch("tensorferry", few, whole_of(few), each=True)
    stage.http("nginx", few, ranges_of(few))
    stage.flight("Arrow Flight", few, ranges_of(few))
    return []


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
        # A server of its own for each round: what it has touched in a mapping cannot be dropped.
        with tensorferryd(binaries, directory, place.directory / "tensorferryd.log") as server:
            command = [binaries / "fetch_worker", "--server", server.address, "--model", link.name, "--reads", lines]
            with worker("", command, server.pids, tensor.size_bytes) as client:
                drop_from_cache(link)
                return client.run()

    def cat() -> Sample:
        drop_from_cache(link)
        start = time.monotonic()
        subprocess.run(["cat", link], check=True, stdout=subprocess.DEVNULL)
        return Sample(time.monotonic() - start)

    stage.contenders.append(Contender("tensorferry", lambda: fetch(place.binaries), size_bytes=tensor.size_bytes))
    if place.other_binaries:
        other = place.other_binaries
        stage.contenders.append(
            Contender("other build: tensorferry", lambda: fetch(other), size_bytes=tensor.size_bytes))
    stage.contenders.append(Contender("cat", cat, size_bytes=tensor.size_bytes))
    return [Goal("tensorferry", "cat", 0.9)]


def headers(stage: Stage) -> list[Goal]:
    """opening a file of 100,000 tensors: reading, parsing and validating its header"""
    file = write_model(stage.place.directory / "header.safetensors", expert_tensors(100000, 16))
    reference = [sys.executable, SOURCES / "reference_worker.py", file.path]
    builds = [("tensorferry", stage.place.binaries)]
    if stage.place.other_binaries:
        builds.append(("other build: tensorferry", stage.place.other_binaries))
    for name, binaries in builds:
        stage.contenders.append(stage.stack.enter_context(
            worker(name, [binaries / "header_worker", file.path], (), 0, repeats=5)))
    stage.contenders.append(stage.stack.enter_context(worker("reference, safe_open", reference, (), 0, repeats=2)))
    return [Goal("tensorferry", "reference, safe_open", 5)]


def start_up(stage: Stage) -> list[Goal]:
    """from the start of the server until it serves 1,000 files with 500,000 tensors of 4 KiB"""
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
    stage.contenders.append(Contender("tensorferryd", lambda: start(place.binaries)))
    if place.other_binaries:
        other = place.other_binaries
        stage.contenders.append(Contender("other build: tensorferryd", lambda: start(other)))
    stage.stack.callback(lambda: [print(f"private memory: {size:.0f} bytes a tensor") for size in per_tensor.values()])
    return []


WORKLOADS = {
    "whole": whole,
    "slice": slices,
    "small": small,
    "plan": plan,
    "read": one_read,
    "cold": cold,
    "header": headers,
    "start": start_up,
}
