# SPDX-License-Identifier: Apache-2.0
"""The servers and workers of the benchmarks, and their usage according to the kernel."""

import contextlib
import dataclasses
import os
import pathlib
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

# Timeout for processes that hang.
PATIENCE_SECONDS = 600

NGINX_CONFIG = """
{user}
worker_processes {workers};
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {root};
  }}
}}
"""


class Process:
    """A program whose stdin and stdout are pipes. Ends with its `with` block."""

    def __init__(self, command: Sequence[object], log: pathlib.Path | None = None) -> None:
        self.command = [str(part) for part in command]
        # Errors go to our stderr unless there is a log.
        stderr = open(log, "wb") if log else None
        self.popen = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        if stderr:
            stderr.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.terminate()
        self.popen.wait()

    def read_line(self) -> str:
        assert self.popen.stdout is not None
        if not select.select([self.popen.stdout], [], [], PATIENCE_SECONDS)[0]:
            raise TimeoutError(f"{self.command[0]} printed no line within {PATIENCE_SECONDS} s")
        line = self.popen.stdout.readline().decode()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} exited with {self.popen.wait()}")
        return line

    def send(self, command: str) -> None:
        """Sends a line."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(command.encode() + b"\n")
        self.popen.stdin.flush()

    def ask(self, command: str) -> str:
        """Sends a line and returns the next line of output."""
        self.send(command)
        return self.read_line()


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server: its address and its processes."""
    address: str
    pids: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The PEM files of a server's self-signed certificate and its key."""
    certificate: pathlib.Path
    key: pathlib.Path


def issue_certificate(directory: pathlib.Path) -> Certificate:
    """Issues a certificate for a server on the loopback interface."""
    issued = Certificate(directory / "server.pem", directory / "server.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "30",
                    "-out", issued.certificate, "-keyout", issued.key],
                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return issued


@contextlib.contextmanager
def tensorferryd(binaries: pathlib.Path, root: pathlib.Path, log: pathlib.Path,
                 certificate: Certificate | None = None) -> Iterator[Server]:
    """Starts a tensorferryd, with TLS if there is a `certificate`. Uses only flags that other builds have as well
    (--other-binaries)."""
    command = [binaries / "tensorferryd", "--root", root, "--listen", "127.0.0.1:0", "--admin-listen", "off",
               "--lame-duck", "0"]
    if certificate:
        command += ["--tls-cert", certificate.certificate, "--tls-key", certificate.key]
    with Process(command, log) as process:
        address = process.read_line().removeprefix("tensorferryd listening on ").strip()
        yield Server(address, (process.popen.pid,))


@contextlib.contextmanager
def flight_server(binaries: pathlib.Path, file: pathlib.Path) -> Iterator[Server]:
    with Process([binaries / "flight_server", file, 1 << 20]) as process:
        yield Server(process.read_line().strip(), (process.popen.pid,))


@contextlib.contextmanager
def echo_server(binaries: pathlib.Path, file: pathlib.Path) -> Iterator[Server]:
    with Process([binaries / "echo_server", file]) as process:
        yield Server(process.read_line().strip(), (process.popen.pid,))


@contextlib.contextmanager
def nginx(root: pathlib.Path, directory: pathlib.Path) -> Iterator[Server]:
    directory.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = directory / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(user="user root;" if os.geteuid() == 0 else "", workers=os.cpu_count(),
                                          directory=directory, port=port, root=root))
    log = directory / "error.log"
    with Process(["nginx", "-p", directory, "-c", config, "-e", log], directory / "stderr.log") as process:
        master = process.popen.pid
        children = pathlib.Path(f"/proc/{master}/task/{master}/children")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (directory / "nginx.pid").exists() or not children.read_text():
            if process.popen.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nginx did not start: {log.read_text()}")
            time.sleep(0.05)
        yield Server(f"127.0.0.1:{port}", (master, *map(int, children.read_text().split())))


@dataclasses.dataclass(frozen=True)
class Usage:
    """The resources that processes have used."""
    cpu_seconds: float = 0.0
    faults: int = 0

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_seconds - other.cpu_seconds, self.faults - other.faults)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_seconds + other.cpu_seconds, self.faults + other.faults)

    def times(self, factor: float) -> "Usage":
        return Usage(self.cpu_seconds * factor, round(self.faults * factor))


def usage_of(pids: Sequence[int]) -> Usage:
    """Returns CPU time, with the resolution of a clock tick, and page faults."""
    total = Usage()
    for pid in pids:
        # Field 2 is the name in parentheses, which may contain any characters.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        total += Usage(ticks / os.sysconf("SC_CLK_TCK"), int(fields[7]) + int(fields[9]))
    return total


def private_bytes(pid: int) -> int:
    """Returns the size of a process's anonymous memory."""
    match = re.search(r"^RssAnon:\s+(\d+) kB$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024
