# SPDX-License-Identifier: Apache-2.0
"""The rules of the Pod Security Standard "restricted" of Kubernetes 1.35, which include those of "baseline"."""

from collections.abc import Iterator

ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
                   "projected", "secret"}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def containers_of(pod: dict) -> list[dict]:
    return [container for kind in CONTAINER_LISTS for container in pod.get(kind) or []]


def _pod_violations(pod: dict) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes") or []:
        for kind in volume.keys() - {"name"} - ALLOWED_VOLUMES:
            yield f"volume {volume['name']}: {kind}"
    for sysctl in (pod.get("securityContext") or {}).get("sysctls") or []:
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']}"


def _effective(pod: dict, container: dict, name: str) -> object:
    """Returns a container's own setting, or else the pod's."""
    own = (container.get("securityContext") or {}).get(name)
    return own if own is not None else (pod.get("securityContext") or {}).get(name)


def _container_violations(pod: dict, container: dict) -> Iterator[str]:
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield "capabilities: not ALL are dropped"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if context.get("procMount") not in (None, "Default"):
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "hostPort"
    if _effective(pod, container, "runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if _effective(pod, container, "runAsUser") == 0:
        yield "runAsUser is 0"
    if (_effective(pod, container, "seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile"
    if (_effective(pod, container, "appArmorProfile") or {}).get("type") == "Unconfined":
        yield "appArmorProfile"
    options = _effective(pod, container, "seLinuxOptions") or {}
    if options.get("type") not in SELINUX_TYPES or options.get("user") or options.get("role"):
        yield "seLinuxOptions"
    if (_effective(pod, container, "windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"
    handlers = [container.get(probe) or {} for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    handlers += [hook or {} for hook in (container.get("lifecycle") or {}).values() if isinstance(hook, dict)]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            if (handler.get(action) or {}).get("host"):
                yield "a probe names a host"


def violations(pod: dict) -> list[str]:
    """Returns the violations of "restricted" in a pod's spec."""
    found = list(_pod_violations(pod))
    for container in containers_of(pod):
        found += [f"container {container['name']}: {violation}" for violation in _container_violations(pod, container)]
    return found
