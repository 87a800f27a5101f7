# SPDX-License-Identifier: Apache-2.0
"""Tests that pod_security finds each violation of "restricted" and nothing else."""

import copy
import unittest
from collections.abc import Callable

import pod_security

POD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "initContainers": [],
    "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": False,
                                                     "capabilities": {"drop": ["ALL"]}}}],
    "volumes": [{"name": "v", "emptyDir": {}}],
}


def of_pod(name: str, value: object) -> Callable[[dict], None]:
    return lambda pod: pod.__setitem__(name, value)


def of_context(name: str, value: object) -> Callable[[dict], None]:
    return lambda pod: pod["securityContext"].__setitem__(name, value)


def of_container(name: str, value: object) -> Callable[[dict], None]:
    return lambda pod: pod["containers"][0].__setitem__(name, value)


def of_container_context(name: str, value: object) -> Callable[[dict], None]:
    return lambda pod: pod["containers"][0]["securityContext"].__setitem__(name, value)


FORBIDDEN = {
    "hostNetwork": of_pod("hostNetwork", True),
    "hostPID": of_pod("hostPID", True),
    "hostIPC": of_pod("hostIPC", True),
    "hostPath": of_pod("volumes", [{"name": "v", "hostPath": {"path": "/"}}]),
    "nfs": of_pod("volumes", [{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
    "sysctl": of_context("sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    "privileged": of_container_context("privileged", True),
    "escalation": of_container_context("allowPrivilegeEscalation", None),
    "no capabilities set": of_container_context("capabilities", None),
    "some capabilities dropped": of_container_context("capabilities", {"drop": ["NET_RAW"]}),
    "capability added": of_container_context("capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "procMount": of_container_context("procMount", "Unmasked"),
    "hostPort": of_container("ports", [{"containerPort": 1, "hostPort": 1}]),
    "root not forbidden": of_context("runAsNonRoot", None),
    "root allowed by the container": of_container_context("runAsNonRoot", False),
    "root": of_context("runAsUser", 0),
    "root by the container": of_container_context("runAsUser", 0),
    "no seccomp profile": of_context("seccompProfile", None),
    "unconfined": of_container_context("seccompProfile", {"type": "Unconfined"}),
    "AppArmor": of_context("appArmorProfile", {"type": "Unconfined"}),
    "SELinux type": of_context("seLinuxOptions", {"type": "spc_t"}),
    "SELinux user": of_context("seLinuxOptions", {"user": "u"}),
    "host process": of_context("windowsOptions", {"hostProcess": True}),
    "probe of another host": of_container("livenessProbe", {"httpGet": {"host": "h", "port": 1}}),
    "hook to another host": of_container("lifecycle", {"preStop": {"tcpSocket": {"host": "h", "port": 1}}}),
    "init container": of_pod("initContainers", [{"name": "i"}]),
}

ALLOWED = {
    "nothing changed": lambda pod: None,
    "another user": of_context("runAsUser", 65532),
    "low ports": of_container_context("capabilities", {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
    "profile of the node": of_container_context("seccompProfile", {"type": "Localhost"}),
    "safe sysctl": of_context("sysctls", [{"name": "net.ipv4.tcp_rmem", "value": "1"}]),
    "container port": of_container("ports", [{"containerPort": 1}]),
    "probe": of_container("livenessProbe", {"httpGet": {"port": 1}}),
    "all volumes": of_pod("volumes", [{"name": kind, kind: {}} for kind in pod_security.ALLOWED_VOLUMES]),
}


class PodSecurityTest(unittest.TestCase):

    def violations_after(self, change: Callable[[dict], None]) -> list[str]:
        pod = copy.deepcopy(POD)
        change(pod)
        return pod_security.violations(pod)

    def test_violations_are_found(self) -> None:
        for name, change in FORBIDDEN.items():
            with self.subTest(name):
                self.assertTrue(self.violations_after(change))

    def test_allowed_pods_have_no_violations(self) -> None:
        for name, change in ALLOWED.items():
            with self.subTest(name):
                self.assertEqual(self.violations_after(change), [])


if __name__ == "__main__":
    unittest.main()
