# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that cuts connections in the middle of a transfer, and counts the bytes that passed."""

import socket
import threading
from collections.abc import Sequence


class CuttingProxy:
    """Forwards all bytes in both directions. Cuts connection i after `cuts[i]` bytes from the server, later ones never.

    Closes a new connection at once while no server is listening.
    """

    def __init__(self, address: str, cuts: Sequence[int]):
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._cuts = list(cuts)
        self._mutex = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed_bytes = 0
        self.cut_count = 0
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "CuttingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._listener.close()
        with self._mutex:
            ends = list(self._sockets)
        for end in ends:
            self._shutdown(end)

    @staticmethod
    def _shutdown(end: socket.socket) -> None:
        """Closes the connection, and wakes the thread that is blocked on it."""
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._mutex:
                self._sockets |= {client, server}
                limit = self._cuts.pop(0) if self._cuts else None
            threading.Thread(target=self._pass_there, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pass_back, args=(server, client, limit), daemon=True).start()

    def _pass_there(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(1 << 16):
                server.sendall(data)
        except OSError:
            pass
        self._shutdown(server)
        with self._mutex:
            self._sockets.discard(client)
        client.close()

    def _pass_back(self, server: socket.socket, client: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while limit is None or passed < limit:
                data = server.recv(1 << 20 if limit is None else min(1 << 20, limit - passed))
                if not data:
                    break
                client.sendall(data)
                passed += len(data)
                with self._mutex:
                    self.passed_bytes += len(data)
        except OSError:
            pass
        self._shutdown(client)
        with self._mutex:
            self._sockets.discard(server)
            if limit is not None and passed >= limit:
                self.cut_count += 1
        server.close()
