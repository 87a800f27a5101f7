# SPDX-License-Identifier: Apache-2.0
"""Images and containers, run as by a node of a cluster and separate from the machine's own."""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import unittest

import manifests

PROGRAMS = ("buildah", "podman", "runc", "ip")
# The exit code of podman itself if it cannot start a container.
PODMAN_FAILED = 125


class Network:
    """Two network namespaces with a wire between them, isolated from the machine's own network."""

    SERVER_ADDRESS = "10.0.0.1"

    def __init__(self) -> None:
        self.server = f"tensorferry-server-{os.getpid()}"
        self.client = f"tensorferry-client-{os.getpid()}"

    def set_up(self) -> None:
        for name in (self.server, self.client):
            self._ip("netns", "add", name)
        self._ip("link", "add", "wire", "netns", self.server, "type", "veth", "peer", "wire", "netns", self.client)
        for name, address in ((self.server, self.SERVER_ADDRESS), (self.client, "10.0.0.2")):
            self._ip("-n", name, "address", "add", f"{address}/30", "dev", "wire")
            for device in ("lo", "wire"):
                self._ip("-n", name, "link", "set", device, "up")

    def take_down(self) -> None:
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def at_client(self, command: list[object]) -> list[str]:
        """Returns a command line that runs `command` on the client's side."""
        return ["ip", "netns", "exec", self.client, *map(str, command)]

    def _ip(self, *args: str) -> None:
        result = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise unittest.SkipTest(f"cannot create network namespaces: ip {' '.join(args)}: {result.stderr}")


class Engine:
    """buildah and podman, with images, containers and settings in a separate directory."""

    def __init__(self, directory: pathlib.Path):
        if os.geteuid() != 0:
            raise unittest.SkipTest("this test needs root to build and run containers")
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)} (deploy/packages.sh container)")
        self._environment = os.environ | {"CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
                                          "CONTAINERS_CONF": str(directory / "containers.conf")}
        # vfs needs no support of the kernel.
        (directory / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/images"\nrunroot = "{directory}/run"\n')
        # Limits of this machine. Its cgroups may be version 1, and journald may be missing.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], 32768)
        (directory / "containers.conf").write_text(
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[containers]\n'
            f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n')

    def run(self, *command: object) -> subprocess.CompletedProcess:
        return subprocess.run([*map(str, command)], env=self._environment, cwd=manifests.REPOSITORY,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)

    def output(self, *command: object) -> str:
        """Returns the stdout of a command that must succeed."""
        result = self.run(*command)
        if result.returncode != 0:
            raise AssertionError(f"{command} exited with {result.returncode}: {result.stdout}{result.stderr}")
        return result.stdout

    def build(self, image_root: pathlib.Path, tag: str) -> None:
        """Builds the image of deploy/Containerfile, with `image_root` instead of the result of its first stage."""
        self.output("buildah", "bud", "--isolation", "chroot", "--network", "host", "--timestamp", "0", "--no-cache",
                    "--build-context", f"build={image_root.parent}", "-f", "deploy/Containerfile", "-t", tag, ".")

    def inspect(self, name: str) -> dict:
        return manifests.only(json.loads(self.output("podman", "inspect", name)))

    def check_that_containers_start(self, tag: str) -> None:
        """Skips the test if podman cannot start any container."""
        result = self.run("podman", "run", "--rm", "--network", "none", tag, "--version")
        if result.returncode == PODMAN_FAILED:
            raise unittest.SkipTest(f"podman cannot start containers: {result.stderr}")


def flags_of(pod: dict, container: dict, volumes: dict[str, pathlib.Path], memory: str) -> list[str]:
    """Returns flags of `podman run` to treat a container as the kubelet does. `volumes` maps names to directories."""
    context, pod_context = container["securityContext"], pod["securityContext"]
    flags = ["--user", f"{pod_context['runAsUser']}:{pod_context['runAsGroup']}", "--memory", memory,
             "--memory-swap", memory]
    if context["readOnlyRootFilesystem"]:
        flags += ["--read-only", "--read-only-tmpfs=false"]
    if context["allowPrivilegeEscalation"] is False:
        flags += ["--security-opt", "no-new-privileges"]
    for capability in context["capabilities"]["drop"]:
        flags += ["--cap-drop", capability]
    for name, value in manifests.environment(container).items():
        flags += ["--env", f"{name}={value}"]
    for mount in container["volumeMounts"]:
        mode = "ro" if mount.get("readOnly") else "rw"
        flags += ["--volume", f"{volumes[mount['name']]}:{mount['mountPath']}:{mode}"]
    return flags
