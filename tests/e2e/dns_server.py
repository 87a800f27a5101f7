# SPDX-License-Identifier: Apache-2.0
"""A DNS server with several addresses for one name, like a headless Service of Kubernetes."""

import socket
import struct
import threading

_TYPE_A = 1
_CLASS_IN = 1


class DnsServer:
    """Answers on its own port that every name has the addresses in `hosts`. The caller may change `hosts`."""

    def __init__(self, hosts: list[str]):
        self.hosts = hosts
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        # The question: labels up to the empty label, then the type and the class.
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        kind, = struct.unpack(">H", question[-4:-2])
        hosts = self.hosts if kind == _TYPE_A else []
        # An authoritative answer without errors. Everything after the question in the query is ignored.
        header = query[:2] + struct.pack(">HHHHH", 0x8580, 1, len(hosts), 0, 0)
        # Each answer has a pointer to the name in the question, and a time to live of 0.
        answers = b"".join(struct.pack(">HHHIH", 0xC00C, _TYPE_A, _CLASS_IN, 0, 4) + socket.inet_aton(host)
                           for host in hosts)
        return header + question + answers
