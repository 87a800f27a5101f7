# SPDX-License-Identifier: Apache-2.0
"""Tests the image of deploy/Containerfile, run as in the manifests: it serves a model larger than its memory.

Leaves out the first stage, which would compile everything again, and uses the programs of the tests.
"""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
import manifests  # noqa: E402
from containers import Engine, Network, flags_of  # noqa: E402
from tensor_files import write_big_file  # noqa: E402

TAG = "localhost/tensorferry"
USER = "65532:65532"
MIB = 1 << 20
MODEL_BYTES = 300 * MIB
MEMORY_BYTES = 64 * MIB
IMAGE_BYTES_MAX = 100_000_000


def gather(directory: pathlib.Path) -> pathlib.Path:
    """Collects the files of the image."""
    root = directory / "image"
    subprocess.run([manifests.REPOSITORY / "deploy/build/image_root.sh", harness.BIN_DIR, root], check=True,
                   stdout=subprocess.DEVNULL)
    return root


@unittest.skipIf(harness.SANITIZED, "the image contains the release programs")
class ImageTest(unittest.TestCase):
    """Builds one image for all tests."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="tensorferry-image-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.engine = Engine(cls.directory)
        cls.network = Network()
        cls.addClassCleanup(cls.network.take_down)
        cls.network.set_up()
        cls.root = gather(cls.directory)
        # Runs before the directory is removed: a container that a failed test left has mounts in it.
        cls.addClassCleanup(cls.engine.run, "podman", "rm", "--all", "--force", "--time", "0")
        cls.engine.build(cls.root, TAG)
        cls.engine.check_that_containers_start(TAG)

    def files(self) -> dict[str, os.stat_result]:
        return {f"/{path.relative_to(self.root)}": path.lstat() for path in self.root.rglob("*") if not path.is_dir()}

    def test_contains_only_the_programs_and_their_libraries(self) -> None:
        files = self.files()
        self.assertEqual({path for path in files if path.startswith("/usr/bin/")},
                         {"/usr/bin/tensorferry", "/usr/bin/tensorferryd"})
        for path, status in files.items():
            self.assertRegex(path, r"^/(usr/bin/tensorferryd?|lib(64)?/.*\.so[.0-9]*|etc/os-release"
                                   r"|etc/ssl/certs/ca-certificates\.crt|usr/share/doc/[^/]+/(copyright|LICENSE)"
                                   r"|var/lib/dpkg/status\.d/[^/]+)$")
            self.assertTrue(stat.S_ISREG(status.st_mode), path)
            self.assertFalse(status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), path)
        self.assertEqual(len([path for path in files if path.endswith("/copyright")]),
                         len([path for path in files if path.startswith("/var/lib/dpkg/")]))

    def test_configuration_is_that_of_the_server(self) -> None:
        image = self.engine.inspect(TAG)
        config = image["Config"]
        self.assertLess(image["Size"], IMAGE_BYTES_MAX)
        self.assertEqual(config["User"], USER)
        self.assertEqual(config["Entrypoint"], ["/usr/bin/tensorferryd"])
        self.assertEqual(config["StopSignal"], "SIGTERM")
        self.assertEqual(set(config["ExposedPorts"]), {"7070/tcp", "7071/tcp"})
        version = harness.run_program([str(harness.BIN_DIR / "tensorferryd"), "--version"]).stdout.decode().split()[1]
        labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
        self.assertEqual(labels["version"], version)
        self.assertEqual(labels["licenses"], "Apache-2.0")

    def test_same_inputs_give_the_same_layers(self) -> None:
        again = self.directory / "again"
        again.mkdir()
        root = gather(again)
        for path in root.rglob("*"):
            os.utime(path, (time.time(), time.time()))
        self.engine.build(root, f"{TAG}:again")
        first, second = self.engine.inspect(TAG), self.engine.inspect(f"{TAG}:again")
        self.assertEqual(first["RootFS"]["Layers"], second["RootFS"]["Layers"])
        self.assertEqual(first["Id"], second["Id"])

    def test_client_command_works(self) -> None:
        for program in ("tensorferry", "tensorferryd"):
            said = self.engine.output("podman", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL",
                                      "--entrypoint", program, TAG, "--version")
            self.assertRegex(said, rf"^{program} \d")

    # The image as the manifests run it.

    def start_server(self, models: pathlib.Path) -> str:
        """Starts the base's server, with less memory."""
        pod = manifests.pod_of(manifests.server("base"))
        flags = flags_of(pod, pod["containers"][0], {"models": models}, str(MEMORY_BYTES))
        self.grace_seconds = pod["terminationGracePeriodSeconds"]
        return self.engine.output("podman", "run", "--detach", "--network", f"ns:/run/netns/{self.network.server}",
                                  *flags, TAG).strip()

    def run_at_client(self, *command: object) -> subprocess.CompletedProcess:
        return harness.run_program(self.network.at_client(list(command)))

    def probe(self, name: str) -> int:
        """Returns the HTTP status of a probe of the base, requested from the client's side, or 0 without a response."""
        container = manifests.pod_of(manifests.server("base"))["containers"][0]
        asked = container[name]["httpGet"]
        port = {port["name"]: port["containerPort"] for port in container["ports"]}[asked["port"]]
        url = f"http://{Network.SERVER_ADDRESS}:{port}{asked['path']}"
        script = ("import sys, urllib.error, urllib.request\n"
                  "try: print(urllib.request.urlopen(sys.argv[1], timeout=5).status)\n"
                  "except urllib.error.HTTPError as error: print(error.code)\n"
                  "except OSError: print(0)\n")
        return int(self.run_at_client(sys.executable, "-c", script, url).stdout)

    def client(self, *args: object) -> subprocess.CompletedProcess:
        return self.run_at_client(*harness.cli_command(*args, "--server", f"{Network.SERVER_ADDRESS}:7070"))

    def check_confinement(self, pid: int) -> None:
        """Asserts that the process has exactly the rights of the manifests."""
        status = dict(re.findall(r"^(\w+):\s+(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
        self.assertEqual(status["Uid"].split(), ["65532"] * 4)
        self.assertEqual(status["Gid"].split(), ["65532"] * 4)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(status["NSpid"].split()[-1], "1")
        root = manifests.only([line.split() for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
                               if line.split()[4] == "/"])
        self.assertIn("ro", root[5].split(","))

    def memory_limit(self, pid: int) -> int:
        """Returns the memory limit of the container in bytes."""
        for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for file in (f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes" if controllers == "memory" else "",
                         f"/sys/fs/cgroup{path}/memory.max" if controllers == "" else ""):
                if file and pathlib.Path(file).exists():
                    return int(pathlib.Path(file).read_text())
        raise AssertionError("the container has no memory limit")

    def test_serves_more_than_its_memory_and_exits_with_0(self) -> None:
        models = self.directory / "models"
        original = models / "m/model.safetensors"
        write_big_file(original, "t", MODEL_BYTES, numpy.random.default_rng(harness.SEED))
        (models / "m/config.json").write_text("{}")
        self.directory.chmod(0o755)  # for the server's user

        container = self.start_server(models)
        self.addCleanup(lambda: print(self.engine.run("podman", "logs", container).stderr, file=sys.stderr))
        harness.wait_until(lambda: self.probe("startupProbe") == 200, "the startup probe")
        self.assertEqual(self.probe("readinessProbe"), 200)
        self.assertEqual(self.probe("livenessProbe"), 200)
        pid = self.engine.inspect(container)["State"]["Pid"]
        self.check_confinement(pid)
        self.assertEqual(self.memory_limit(pid), MEMORY_BYTES)

        copy = self.directory / "copy"
        for _ in range(2):  # the second time, the page cache is full
            shutil.rmtree(copy, ignore_errors=True)
            result = self.client("pull", "m", copy)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(harness.sha256(copy / "model.safetensors"), harness.sha256(original))
        self.assertEqual(self.probe("livenessProbe"), 200)
        self.pull_as_the_example_does(original)

        # podman kills a program that does not exit in time, and the exit code is then not 0.
        self.engine.output("podman", "stop", "--time", self.grace_seconds, container)
        state = self.engine.inspect(container)["State"]
        self.assertEqual((state["ExitCode"], state["OOMKilled"]), (0, False))

    def pull_as_the_example_does(self, original: pathlib.Path) -> None:
        """Runs the init container of examples/fetch-before-start.yaml on the client's side."""
        pod = manifests.pod_of(manifests.only(manifests.workloads("examples/fetch-before-start.yaml")))
        container = manifests.only(pod["initContainers"])
        weights = self.directory / "weights"
        weights.mkdir()
        os.chown(weights, -1, pod["securityContext"]["fsGroup"])
        weights.chmod(0o2775)
        self.assertEqual(container["command"][:2], ["tensorferry", "pull"])
        command = [{"my-model": "m"}.get(word, word) for word in container["command"]]
        flags = flags_of(pod, container, {"weights": weights}, str(2 * MEMORY_BYTES))
        host = manifests.environment(container)["TENSORFERRY_SERVER"].removeprefix("dns:///").rsplit(":", 1)[0]
        flags += ["--add-host", f"{host}:{Network.SERVER_ADDRESS}"]
        self.engine.output("podman", "run", "--rm", "--network", f"ns:/run/netns/{self.network.client}", *flags,
                           "--entrypoint", command[0], TAG, *command[1:])
        self.assertEqual(harness.sha256(weights / "my-model/model.safetensors"), harness.sha256(original))


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    for _, reason in result.skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    if result.skipped and result.testsRun == 0:
        sys.exit(77)  # ctest reports this as skipped
    sys.exit(not result.wasSuccessful())
