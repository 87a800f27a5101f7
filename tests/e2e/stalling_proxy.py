# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that stops a transfer after a number of bytes, so a test needs no clock to be in the middle of it."""

import select
import socket
import threading


class StallingProxy:
    """Forwards all bytes to a server, and `limit_bytes` back in total. Then it forwards nothing more.

    Connections stay open until the server closes them or `cut` is called.
    """

    def __init__(self, address: str, limit_bytes: int):
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._left = limit_bytes
        self._mutex = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.stalled = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Closes all connections and the listener, like a network that fails."""
        self._ended.set()
        self._listener.close()
        with self._mutex:
            for end in self._sockets:
                self._close(end)

    def __enter__(self) -> "StallingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @staticmethod
    def _close(end: socket.socket) -> None:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            with self._mutex:
                self._sockets += [client, server]
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, limited: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if limited:
                    with self._mutex:
                        data = data[:self._left]
                        self._left -= len(data)
                target.sendall(data)
                if limited and self._left == 0:
                    self.stalled.set()
                    self._wait_for_end(source)
                    break
        except OSError:
            pass
        self._close(target)

    def _wait_for_end(self, source: socket.socket) -> None:
        """Waits until the server closes the connection, without reading from it."""
        poll = select.poll()
        poll.register(source, select.POLLRDHUP)
        while not self._ended.is_set():
            if poll.poll(50):
                return
