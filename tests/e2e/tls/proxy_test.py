# SPDX-License-Identifier: Apache-2.0
"""Proxies in the environment: nothing passes them unless --proxy asks for it, and no plaintext token without
--plaintext-token."""

import socket
import threading
import unittest

import numpy

import harness
from certificates import Authority
from tensor_files import make_tensor, write_safetensors

TOKEN = "token-that-no-proxy-may-see-0"
VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


class RecordingProxy:
    """An HTTP proxy on loopback that serves CONNECT, and keeps what passed towards the servers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connects: list[str] = []
        self._passed = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Only this wakes a thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def connects(self) -> list[str]:
        with self._lock:
            return list(self._connects)

    def saw(self, secret: str) -> bool:
        with self._lock:
            return secret.encode() in self._passed

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            request = client.recv(4096)
            with self._lock:
                self._connects.append(request.decode(errors="replace").splitlines()[0])
                self._passed += request
            host, port = request.split()[1].decode().rsplit(":", 1)
            server = socket.create_connection((host.strip("[]"), int(port)))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()
            self._pump(client, server, True)
        except (OSError, ValueError, IndexError):
            client.close()

    def _pump(self, source: socket.socket, target: socket.socket, keep: bool) -> None:
        try:
            while data := source.recv(65536):
                if keep:
                    with self._lock:
                        self._passed += data
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            end.close()


class ProxyTest(harness.EndToEndTest):
    def setUp(self) -> None:
        super().setUp()
        self.proxy = RecordingProxy()
        self.addCleanup(self.proxy.close)
        generator = numpy.random.default_rng(harness.SEED)
        self.root = self.directory / "root"
        write_safetensors(self.root / "m" / "model.safetensors", [make_tensor("t", "U8", (5000,), generator)])
        (self.directory / "tokens").write_text(f"me {TOKEN}\n")
        self.token = self.directory / "token"
        self.token.write_text(TOKEN)

    def environment(self, variable: str, **more: str) -> dict[str, str]:
        return {variable: self.proxy.url, "no_proxy": "", "no_grpc_proxy": "", **more}

    def commands(self, name: str) -> dict[str, tuple[str, ...]]:
        """Every command that talks to a server."""
        return {
            "ls": ("ls",),
            "ls MODEL": ("ls", "m"),
            "info": ("info", "m"),
            "info TENSOR": ("info", "m", "t"),
            "get": ("get", "m", "t", "-o", str(self.directory / f"{name}.npy")),
            "pull": ("pull", "m", str(self.directory / f"{name}-copy")),
            "bench": ("bench", "m", "--rounds", "1", "--latency-reads", "1"),
            "health": ("health",),
        }

    def test_no_command_passes_a_proxy_that_was_not_asked_for(self) -> None:
        server = self.serve(self.root, "--insecure", "--token-file", str(self.directory / "tokens"))
        for variable in VARIABLES:
            for name, command in self.commands(variable).items():
                with self.subTest(name, variable=variable):
                    result = self.run_cli(*command, "--token-file", str(self.token), server=server,
                                          env=self.environment(variable))
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertNotIn(TOKEN, result.stderr + result.stdout.decode(errors="replace"))
        self.assertEqual(self.proxy.connects(), [])
        self.assertFalse(self.proxy.saw(TOKEN))
        self.assertNotIn(TOKEN, server.stderr())

    def test_a_proxy_that_is_away_harms_no_probe(self) -> None:
        server = self.serve(self.root)
        for variable in VARIABLES:
            self.cli_succeeds("health", server=server, env={variable: "http://127.0.0.1:9", "no_proxy": ""})

    def test_with_proxy_calls_pass_it(self) -> None:
        server = self.serve(self.root)
        for name, command in self.commands("asked").items():
            with self.subTest(name):
                before = len(self.proxy.connects())
                result = self.run_cli(*command, "--proxy", server=server, env=self.environment("http_proxy"))
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertGreater(len(self.proxy.connects()), before)

    def test_no_plaintext_token_passes_a_proxy(self) -> None:
        server = self.serve(self.root, "--insecure", "--token-file", str(self.directory / "tokens"))
        for name, command in self.commands("refused").items():
            with self.subTest(name):
                self.cli_fails(1, ("plaintext", "proxy"), *command, "--proxy", "--token-file", str(self.token),
                               server=server, env=self.environment("http_proxy"))
        self.assertFalse(self.proxy.saw(TOKEN))
        # A trusted network includes its proxies.
        result = self.run_cli("ls", "--proxy", "--plaintext-token", "--token-file", str(self.token), server=server,
                              env=self.environment("http_proxy"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(self.proxy.saw(TOKEN))

    def test_over_tls_a_proxy_passes_the_token_and_does_not_see_it(self) -> None:
        authority = Authority(self.directory / "authority", "authority")
        certificate = authority.issue_for_server()
        server = self.serve(self.root, "--tls-cert", str(certificate.certificate), "--tls-key", str(certificate.key),
                            "--token-file", str(self.directory / "tokens"))
        result = self.run_cli("ls", "--proxy", "--tls-ca", str(authority.certificate), "--token-file", str(self.token),
                              server=server, env=self.environment("https_proxy"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(self.proxy.connects())
        self.assertFalse(self.proxy.saw(TOKEN))


if __name__ == "__main__":
    unittest.main()
