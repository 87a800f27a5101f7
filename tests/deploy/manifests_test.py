# SPDX-License-Identifier: Apache-2.0
"""Tests that every overlay and example of deploy/kubernetes is valid, restricted and consistent."""

import functools
import re
import unittest
from collections.abc import Callable

import kubernetes_validate
from kubernetes_validate import utils

import manifests
import pod_security
from manifests import of_kind, pod_of, resources, server, workloads

# The oldest version of Kubernetes that each supports.
OLDEST = {"overlays/image-volume": "1.33"}
OLDEST_OF_OTHERS = "1.29"

SERVERS = manifests.kustomizations()
WITH_PODS = [name for name in SERVERS + manifests.examples() if workloads(name)]

# kubernetes_validate reads the schemas again for each resource.
utils.schema_contents = functools.cache(utils.schema_contents)

# Kinds of operators, for which kubernetes-validate has no schema.
FOREIGN_KINDS = {"Certificate", "PodMonitor", "PrometheusRule"}


def versions(name: str) -> list[str]:
    """Returns the oldest and the newest version of Kubernetes to validate a directory against."""
    return [OLDEST.get(name, OLDEST_OF_OTHERS), utils.major_minor(utils.latest_version())]


def project_version() -> str:
    text = (manifests.REPOSITORY / "lib/include/tensorferry/version.h").read_text()
    return re.search(r'#define TENSORFERRY_VERSION "(\S+)"', text)[1]


COMBINATION = """
resources: [tensorferry/deploy/kubernetes/{overlay}]
components: [tensorferry/deploy/kubernetes/components/tls, tensorferry/deploy/kubernetes/components/monitoring]
"""


def for_each(names: list[str]) -> Callable:
    """Repeats a test for each of these directories and examples."""
    def decorate(test: Callable) -> Callable:
        @functools.wraps(test)
        def run(self: unittest.TestCase) -> None:
            self.assertTrue(names)
            for name in names:
                with self.subTest(name):
                    test(self, name)
        return run
    return decorate


class ManifestsTest(unittest.TestCase):
    """Each test checks a rule for all directories and examples that it applies to."""

    def test_all_documented_overlays_exist(self) -> None:
        for overlay in ("pvc", "node-local", "tls", "monitoring", "image-volume"):
            self.assertIn(f"overlays/{overlay}", SERVERS)
        self.assertIn("base", SERVERS)

    @for_each(SERVERS + manifests.examples())
    def test_kubernetes_accepts_them_strictly(self, name: str) -> None:
        for resource in resources(name):
            if resource["kind"] not in FOREIGN_KINDS:
                for version in versions(name):
                    kubernetes_validate.validate(resource, version, strict=True)

    def test_a_misspelt_field_is_found(self) -> None:
        deployment = server("base")
        deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, utils.latest_version(), strict=True)

    @for_each(WITH_PODS)
    def test_pods_are_restricted(self, name: str) -> None:
        for workload in workloads(name):
            self.assertEqual(pod_security.violations(pod_of(workload)), [])

    @for_each(WITH_PODS)
    def test_pods_have_no_token_and_a_read_only_root(self, name: str) -> None:
        for workload in workloads(name):
            self.assertIs(pod_of(workload)["automountServiceAccountToken"], False)
            for container in pod_security.containers_of(pod_of(workload)):
                self.assertIs(container["securityContext"]["readOnlyRootFilesystem"], True)

    @for_each(SERVERS)
    def test_the_service_account_has_no_token(self, name: str) -> None:
        self.assertIs(manifests.only(of_kind(name, "ServiceAccount"))["automountServiceAccountToken"], False)

    @for_each(WITH_PODS)
    def test_volumes_exist_and_are_mounted(self, name: str) -> None:
        for workload in workloads(name):
            pod = pod_of(workload)
            volumes = [volume["name"] for volume in pod.get("volumes", [])]
            self.assertEqual(len(volumes), len(set(volumes)))
            mounted = {mount["name"] for container in pod_security.containers_of(pod)
                       for mount in container.get("volumeMounts", [])}
            self.assertEqual(mounted, set(volumes))
            for volume in pod.get("volumes", []):
                self.assertEqual(len(volume.keys() - {"name"}), 1, "a volume has one source")

    @for_each([name for name in SERVERS if name != "base"])
    def test_claims_exist(self, name: str) -> None:
        wanted = {volume["persistentVolumeClaim"]["claimName"] for volume in pod_of(server(name))["volumes"]
                  if "persistentVolumeClaim" in volume}
        self.assertEqual(wanted, {claim["metadata"]["name"] for claim in of_kind(name, "PersistentVolumeClaim")})

    @for_each(SERVERS)
    def test_the_models_are_mounted_for_reading(self, name: str) -> None:
        container = pod_of(server(name))["containers"][0]
        mount = manifests.only([mount for mount in container["volumeMounts"] if mount["name"] == "models"])
        self.assertIs(mount["readOnly"], True)
        self.assertEqual(manifests.environment(container)["TENSORFERRYD_ROOT"], mount["mountPath"])

    @for_each(SERVERS)
    def test_selectors_and_ports_match_the_pods(self, name: str) -> None:
        workload = server(name)
        labels = manifests.labels_of(workload)
        ports = {port["name"]: port["containerPort"] for port in pod_of(workload)["containers"][0]["ports"]}
        selectors = [workload["spec"]["selector"]["matchLabels"]]
        for constraint in pod_of(workload).get("topologySpreadConstraints", []):
            selectors.append(constraint["labelSelector"]["matchLabels"])
        services = of_kind(name, "Service")
        self.assertEqual([service["spec"].get("clusterIP") for service in services].count("None"), 1)
        for service in services:
            selectors.append(service["spec"]["selector"])
            for port in service["spec"]["ports"]:
                self.assertIn(port["targetPort"], ports)
        for resource in of_kind(name, "PodDisruptionBudget", "PodMonitor"):
            selectors.append(resource["spec"]["selector"]["matchLabels"])
        for policy in of_kind(name, "NetworkPolicy"):
            selectors.append(policy["spec"]["podSelector"]["matchLabels"])
            for rule in policy["spec"]["ingress"]:
                self.assertTrue(rule["from"], "an empty list admits everybody")
                for port in rule["ports"]:
                    self.assertIn(port["port"], ports)
        for monitor in of_kind(name, "PodMonitor"):
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                self.assertIn(endpoint["port"], ports)
        for selector in selectors:
            self.assertTrue(selector.items() <= labels.items() and selector, selector)
        settings = manifests.environment(pod_of(workload)["containers"][0])
        self.assertEqual(settings["TENSORFERRYD_LISTEN"].rsplit(":", 1)[1], str(ports["grpc"]))
        self.assertEqual(settings["TENSORFERRYD_ADMIN_LISTEN"].rsplit(":", 1)[1], str(ports["admin"]))

    @for_each([name for name in WITH_PODS if name.startswith("examples/")])
    def test_clients_of_the_examples_pass_the_network_policy(self, name: str) -> None:
        policy = manifests.only(of_kind("base", "NetworkPolicy"))
        label = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
        for workload in workloads(name):
            self.assertTrue(label.items() <= manifests.labels_of(workload).items())

    @for_each(SERVERS)
    def test_a_rolling_update_keeps_all_replicas(self, name: str) -> None:
        spec = server(name)["spec"]
        update = spec.get("strategy") or spec["updateStrategy"]
        self.assertEqual(update["type"], "RollingUpdate")
        self.assertEqual(update["rollingUpdate"], {"maxUnavailable": 0, "maxSurge": 1})

    @for_each(SERVERS)
    def test_there_is_time_to_drain(self, name: str) -> None:
        pod = pod_of(server(name))
        settings = manifests.environment(pod["containers"][0])
        drain = int(settings["TENSORFERRYD_LAME_DUCK"]) + int(settings["TENSORFERRYD_DRAIN_TIMEOUT"])
        self.assertEqual(pod["terminationGracePeriodSeconds"], drain + 10)

    @for_each(SERVERS)
    def test_probes_ask_the_admin_port(self, name: str) -> None:
        container = pod_of(server(name))["containers"][0]
        asked = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
        self.assertEqual(asked, {"startupProbe": {"path": "/readyz", "port": "admin"},
                                 "readinessProbe": {"path": "/readyz", "port": "admin"},
                                 "livenessProbe": {"path": "/livez", "port": "admin"}})

    @for_each(SERVERS)
    def test_memory_is_guaranteed(self, name: str) -> None:
        wanted = pod_of(server(name))["containers"][0]["resources"]
        self.assertEqual(wanted["requests"]["memory"], wanted["limits"]["memory"])

    @for_each(SERVERS)
    def test_variables_of_services_do_not_collide_with_ours(self, name: str) -> None:
        self.assertIs(pod_of(server(name))["enableServiceLinks"], False)

    @for_each(SERVERS)
    def test_plaintext_and_tls_exclude_each_other(self, name: str) -> None:
        settings = manifests.environment(pod_of(server(name))["containers"][0])
        self.assertNotEqual("TENSORFERRYD_INSECURE" in settings, "TENSORFERRYD_TLS_CERT" in settings)

    def test_tls_asks_for_client_certificates(self) -> None:
        self.assertIn("TENSORFERRYD_TLS_CLIENT_CA",
                      manifests.environment(pod_of(server("overlays/tls"))["containers"][0]))

    @for_each(WITH_PODS)
    def test_images_are_of_this_version(self, name: str) -> None:
        images = [container["image"] for workload in workloads(name)
                  for container in pod_security.containers_of(pod_of(workload))]
        ours = [image for image in images if image.split(":")[0] == "tensorferry"]
        self.assertEqual(set(ours) - {f"tensorferry:{project_version()}"}, set())

    def test_image_has_this_version(self) -> None:
        self.assertIn(f"ARG VERSION={project_version()}\n", (manifests.REPOSITORY / "deploy/Containerfile").read_text())

    def test_node_local_pods_find_their_nodes_server(self) -> None:
        name = "overlays/node-local"
        self.assertEqual(server(name)["kind"], "DaemonSet")
        near = manifests.only([service for service in of_kind(name, "Service")
                               if service["spec"].get("clusterIP") != "None"])
        self.assertEqual(near["spec"]["internalTrafficPolicy"], "Local")
        self.assertEqual(of_kind(name, "PodDisruptionBudget"), [])
        volume = manifests.only(of_kind(name, "PersistentVolume"))
        terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        selector = pod_of(server(name))["nodeSelector"]
        self.assertEqual(terms, [{"matchExpressions": [
            {"key": key, "operator": "In", "values": [value]} for key, value in selector.items()]}])

    def test_monitoring_comes_with_everything(self) -> None:
        kinds = {resource["kind"] for resource in resources("overlays/monitoring")}
        self.assertLessEqual({"PodMonitor", "PrometheusRule", "ConfigMap"}, kinds)
        dashboard = manifests.only(of_kind("overlays/monitoring", "ConfigMap"))
        self.assertEqual(dashboard["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertEqual(dashboard["data"]["tensorferry.json"], (manifests.MONITORING / "dashboard.json").read_text())

    def test_kustomization_of_the_readme_can_be_rendered(self) -> None:
        text = (manifests.REPOSITORY / "deploy/README.md").read_text()
        mine, patch = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        with manifests.written_by_operator(mine + patch) as directory:
            container = pod_of(server(directory))["containers"][0]
            self.assertEqual(container["image"], f"registry.example/tensorferry:{project_version()}")
            self.assertEqual({resource["metadata"]["namespace"] for resource in resources(directory)}, {"tensorferry"})
            settings = manifests.environment(container)
            for name in ("TENSORFERRYD_TLS_CERT", "TENSORFERRYD_MAX_STREAMS"):
                self.assertIn(name, settings)
            self.assertTrue(of_kind(directory, "PodMonitor"))

    @for_each(["overlays/node-local", "overlays/image-volume"])
    def test_components_combine_with_every_overlay(self, name: str) -> None:
        with manifests.written_by_operator(COMBINATION.format(overlay=name)) as both:
            settings = manifests.environment(pod_of(server(both))["containers"][0])
            self.assertIn("TENSORFERRYD_TLS_CERT", settings)
            self.assertNotIn("TENSORFERRYD_INSECURE", settings)
            self.assertEqual(pod_security.violations(pod_of(server(both))), [])


if __name__ == "__main__":
    unittest.main()
