# SPDX-License-Identifier: Apache-2.0
"""The manifests of deploy/kubernetes as a cluster would get them."""

import contextlib
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = REPOSITORY / "deploy/kubernetes"
MONITORING = KUBERNETES / "components/monitoring"
KUBECTL = pathlib.Path(sys.prefix) / "bin/kubectl"

Resource = dict


def kustomizations() -> list[str]:
    """The directories that can be applied, relative to deploy/kubernetes."""
    directories = [path.parent for path in KUBERNETES.rglob("kustomization.yaml")
                   if yaml.safe_load(path.read_text())["kind"] == "Kustomization"]
    return sorted(str(directory.relative_to(KUBERNETES)) for directory in directories)


def examples() -> list[str]:
    """The files of examples, relative to deploy/kubernetes."""
    return sorted(str(path.relative_to(KUBERNETES)) for path in (KUBERNETES / "examples").iterdir())


@functools.cache
def rendered_text(name: str) -> str:
    """What `kubectl apply -k` would send of a directory; an example is sent as it is."""
    if (KUBERNETES / name).is_file():
        return (KUBERNETES / name).read_text()
    result = subprocess.run([KUBECTL, "kustomize", KUBERNETES / name], capture_output=True, text=True, check=False)
    if result.returncode != 0 or result.stderr:
        raise AssertionError(f"kubectl kustomize {name}: {result.stderr}")
    return result.stdout


@contextlib.contextmanager
def written_by_operator(kustomization: str) -> Iterator[str]:
    """A directory with this kustomization.yaml, for which the repository lies beside it under the name tensorferry."""
    with tempfile.TemporaryDirectory() as directory:
        here = os.path.relpath(REPOSITORY, directory)
        text = re.sub(r"\btensorferry/deploy/", f"{here}/deploy/", kustomization)
        (pathlib.Path(directory) / "kustomization.yaml").write_text(text)
        yield directory


def resources(name: str) -> list[Resource]:
    """The resources of a directory or an example."""
    return [resource for resource in yaml.safe_load_all(rendered_text(name)) if resource]


def only(found: list[Resource]) -> Resource:
    """The one that there has to be."""
    if len(found) != 1:
        raise AssertionError(f"there should be one, not {len(found)}: {found}")
    return found[0]


def of_kind(name: str, *kinds: str) -> list[Resource]:
    return [resource for resource in resources(name) if resource["kind"] in kinds]


def workloads(name: str) -> list[Resource]:
    """What makes pods."""
    return of_kind(name, "Deployment", "DaemonSet", "Job")


def server(name: str) -> Resource:
    """The workload that runs tensorferryd."""
    return only([workload for workload in workloads(name) if workload["metadata"]["name"] == "tensorferry"])


def pod_of(workload: Resource) -> Resource:
    """Its pod's spec."""
    return workload["spec"]["template"]["spec"]


def labels_of(workload: Resource) -> dict[str, str]:
    """Its pod's labels."""
    return workload["spec"]["template"]["metadata"]["labels"]


def environment(container: Resource) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container.get("env", [])}


def alert_groups() -> dict:
    """The alerts, as Prometheus itself takes them."""
    return yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]
