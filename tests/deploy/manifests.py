# SPDX-License-Identifier: Apache-2.0
"""The manifests of deploy/kubernetes as a cluster gets them."""

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
    """Returns the directories that can be applied, relative to deploy/kubernetes."""
    directories = [path.parent for path in KUBERNETES.rglob("kustomization.yaml")
                   if yaml.safe_load(path.read_text())["kind"] == "Kustomization"]
    return sorted(str(directory.relative_to(KUBERNETES)) for directory in directories)


def examples() -> list[str]:
    """Returns the files of examples, relative to deploy/kubernetes."""
    return sorted(str(path.relative_to(KUBERNETES)) for path in (KUBERNETES / "examples").iterdir())


@functools.cache
def rendered_text(name: str) -> str:
    """Returns what `kubectl apply -k` sends for a directory. An example is sent unchanged."""
    if (KUBERNETES / name).is_file():
        return (KUBERNETES / name).read_text()
    result = subprocess.run([KUBECTL, "kustomize", KUBERNETES / name], capture_output=True, text=True, check=False)
    if result.returncode != 0 or result.stderr:
        raise AssertionError(f"kubectl kustomize {name}: {result.stderr}")
    return result.stdout


@contextlib.contextmanager
def written_by_operator(kustomization: str) -> Iterator[str]:
    """Yields a directory with this kustomization.yaml. A path tensorferry/ in it refers to the repository."""
    with tempfile.TemporaryDirectory() as directory:
        here = os.path.relpath(REPOSITORY, directory)
        text = re.sub(r"\btensorferry/deploy/", f"{here}/deploy/", kustomization)
        (pathlib.Path(directory) / "kustomization.yaml").write_text(text)
        yield directory


def resources(name: str) -> list[Resource]:
    """Returns the resources of a directory or an example."""
    return [resource for resource in yaml.safe_load_all(rendered_text(name)) if resource]


def only(found: list[Resource]) -> Resource:
    """Returns the only element."""
    if len(found) != 1:
        raise AssertionError(f"expected one element, not {len(found)}: {found}")
    return found[0]


def of_kind(name: str, *kinds: str) -> list[Resource]:
    return [resource for resource in resources(name) if resource["kind"] in kinds]


def workloads(name: str) -> list[Resource]:
    """Returns the resources that create pods."""
    return of_kind(name, "Deployment", "DaemonSet", "Job")


def server(name: str) -> Resource:
    """Returns the workload that runs tensorferryd."""
    return only([workload for workload in workloads(name) if workload["metadata"]["name"] == "tensorferry"])


def pod_of(workload: Resource) -> Resource:
    """Returns the spec of its pods."""
    return workload["spec"]["template"]["spec"]


def labels_of(workload: Resource) -> dict[str, str]:
    """Returns the labels of its pods."""
    return workload["spec"]["template"]["metadata"]["labels"]


def environment(container: Resource) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container.get("env", [])}


def alert_groups() -> dict:
    """Returns the alerts in the format of Prometheus."""
    return yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]
