# SPDX-License-Identifier: Apache-2.0
"""The stage of a workload: its servers, and the workers that are their clients."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator

from load import Load, under_load
from measurement import Contender, worker
from model_files import ModelFile, Tensor
from processes import Certificate, Process, Server, echo_server, flight_server, issue_certificate, nginx, tensorferryd


@dataclasses.dataclass(frozen=True)
class Place:
    """The directories of the programs, and of the files that a run writes."""
    binaries: pathlib.Path
    other_binaries: pathlib.Path | None
    directory: pathlib.Path

    @property
    def root(self) -> pathlib.Path:
        return self.directory / "root"

    def builds(self, name: str) -> Iterator[tuple[str, pathlib.Path]]:
        """Yields the name of our contender and its programs, for this build and for the other build if there is one."""
        yield name, self.binaries
        if self.other_binaries:
            yield f"other build: {name}", self.other_binaries


class Stage:
    """The servers of one workload and the workers that are their clients. All end with `stack`."""

    def __init__(self, place: Place, stack: contextlib.ExitStack) -> None:
        self.place = place
        self.stack = stack
        self.contenders: list[Contender] = []
        self._servers: dict[object, Server] = {}
        self._loads: dict[str, Load] = {}
        self._lists = 0

    def tensorferryd(self, binaries: pathlib.Path, *, tls: bool = False) -> Server:
        log = self.place.directory / "tensorferryd.log"
        certificate = self._certificate if tls else None
        return self._server((binaries, tls), tensorferryd(binaries, self.place.root, log, certificate))

    def fetch(self, name: str, file: ModelFile, reads: Iterable[tuple[Tensor, str, int]], *, each: bool = False,
              repeats: int = 1, load: ModelFile | None = None) -> None:
        """Adds tensorferry on one connection. A read is a tensor, a slice and the size of the result. Other clients
        fetch all of `load` at the same time."""
        reads = list(reads)
        for label, binaries in self.place.builds(name):
            server = self.tensorferryd(binaries)
            self._add(label, self._fetch_command(binaries, server, file, reads) + ["--each"] * each, server,
                      sum(size for _, _, size in reads), repeats, self._fetch_load(binaries, load))

    def fetch_on(self, connections: int, name: str, file: ModelFile, *, each: bool = False, repeats: int = 1,
                 tls: bool = False) -> None:
        """Adds tensorferry, which fetches the whole file on this number of connections, or on an automatic number if it
        is 0. Leaves out the other build."""
        binaries = self.place.binaries
        server = self.tensorferryd(binaries, tls=tls)
        command = self._fetch_command(binaries, server, file, whole_of(file), connections) + ["--each"] * each
        if tls:
            command += ["--tls-ca", self._certificate.certificate]
        self._add(name, command, server, file.size_bytes, repeats)

    def http(self, name: str, file: ModelFile, ranges: Iterable[tuple[int, int]], *, connections: int = 1,
             repeats: int = 1, load: ModelFile | None = None) -> None:
        """Adds nginx, with one request per offset and size. Other clients download all of `load` at the same time."""
        ranges = list(ranges)
        server = self._server("nginx", nginx(self.place.root, self.place.directory / "nginx"))
        command = self._http_command(server, file, ranges) + ["--connections", connections]
        busy = self._load("nginx", server, load, self._http_command(server, load, ranges_of(load))) if load else None
        self._add(name, command, server, sum(size for _, size in ranges), repeats, busy)

    def flight(self, name: str, file: ModelFile, ranges: Iterable[tuple[int, int]], *, repeats: int = 1) -> None:
        """Adds Arrow Flight, with one call per offset and size, if it was built."""
        program = self.place.binaries / "flight_server"
        if not program.exists():
            print("Arrow Flight is left out: it was not built (see tests/benchmarks/CMakeLists.txt)")
            return
        ranges = list(ranges)
        server = self._server(file.path, flight_server(self.place.binaries, file.path))
        command = [self.place.binaries / "flight_worker", server.address, self._ranges(ranges)]
        self._add(name, command, server, sum(size for _, size in ranges), repeats)

    def echo(self, name: str, file: ModelFile, ranges: Iterable[tuple[int, int]], kind: str, *,
             load: ModelFile | None = None) -> None:
        """Adds bare gRPC, "unary" or "stream", with one call per offset and size. Other clients fetch all of `load` from
        a tensorferryd at the same time."""
        ranges = list(ranges)
        server = self._server("echo", echo_server(self.place.binaries, file.path))
        command = [self.place.binaries / "echo_worker", server.address, self._ranges(ranges), kind]
        self._add(name, command, server, sum(size for _, size in ranges), 1,
                  self._fetch_load(self.place.binaries, load))

    @functools.cached_property
    def _certificate(self) -> Certificate:
        return issue_certificate(self.place.directory)

    def _server(self, key: object, start: contextlib.AbstractContextManager[Server]) -> Server:
        if key not in self._servers:
            self._servers[key] = self.stack.enter_context(start)
        return self._servers[key]

    def _list(self, lines: Iterable[str]) -> pathlib.Path:
        self._lists += 1
        path = self.place.directory / f"list-{self._lists}"
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def _ranges(self, ranges: Iterable[tuple[int, int]]) -> pathlib.Path:
        return self._list(f"{offset} {size}" for offset, size in ranges)

    def _fetch_command(self, binaries: pathlib.Path, server: Server, file: ModelFile,
                       reads: Iterable[tuple[Tensor, str, int]], connections: int = 1) -> list[object]:
        lines = self._list(f"{tensor.name}\t{text}\t{size}" for tensor, text, size in reads)
        return [binaries / "fetch_worker", "--server", server.address, "--model", file.path.name, "--reads", lines,
                "--connections", connections]

    def _http_command(self, server: Server, file: ModelFile, ranges: Iterable[tuple[int, int]]) -> list[object]:
        return [self.place.binaries / "http_worker", "--server", server.address, "--url", f"/{file.path.name}",
                "--ranges", self._ranges(ranges)]

    def _fetch_load(self, binaries: pathlib.Path, file: ModelFile | None) -> Load | None:
        if file is None:
            return None
        server = self.tensorferryd(binaries)
        name = "tensorferry" if binaries == self.place.binaries else "other build"
        return self._load(name, server, file, self._fetch_command(binaries, server, file, whole_of(file)))

    def _load(self, name: str, server: Server, file: ModelFile, command: list[object]) -> Load:
        if server.address not in self._loads:
            load = Load([self.stack.enter_context(Process(command)) for _ in range(2)], file.size_bytes)
            self.stack.callback(lambda: print(f"load: two streams of {name}, {load.rate() / 1e6:.0f} MB/s together"))
            self._loads[server.address] = load
        return self._loads[server.address]

    def _add(self, name: str, command: list[object], server: Server, size_bytes: int, repeats: int,
             load: Load | None = None) -> None:
        contender = worker(name, command, server.pids, size_bytes, repeats)
        if load:
            contender.run = under_load(load, contender.run)
        self.contenders.append(contender)


def whole_of(file: ModelFile) -> list[tuple[Tensor, str, int]]:
    return [(tensor, "", tensor.size_bytes) for tensor in file.tensors]


def ranges_of(file: ModelFile) -> list[tuple[int, int]]:
    return [(tensor.offset, tensor.size_bytes) for tensor in file.tensors]
