# SPDX-License-Identifier: Apache-2.0
"""Tests that dashboard and alerts use only metrics, labels and values of a running server, and that alerts fire."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import manifests  # noqa: E402
import promql  # noqa: E402
from tls_fixture import TlsFixture  # noqa: E402

ALERT_CASES = pathlib.Path(__file__).with_name("alerts_test.yaml")


def dashboard() -> dict:
    return json.loads((manifests.MONITORING / "dashboard.json").read_text())


def dashboard_targets() -> list[dict]:
    return [target for panel in dashboard()["panels"] for target in panel.get("targets", [])]


def dashboard_expressions() -> list[str]:
    variables = dashboard()["templating"]["list"]
    return [target["expr"] for target in dashboard_targets()] + [
        variable["definition"] for variable in variables if variable["type"] == "query"]


def alerts() -> list[dict]:
    return [rule for group in manifests.alert_groups()["groups"] for rule in group["rules"]]


class MetricNamesTest(TlsFixture):
    """Compares with a server that has every metric: it has TLS, a valid and an invalid model, and has served a call."""

    def setUp(self) -> None:
        super().setUp()
        (self.root / "bad.safetensors").write_bytes(b"bad")
        server = self.serve_tls("--admin-listen", "127.0.0.1:0")
        self.fetch(server, "--tls-ca", str(self.authority.certificate))
        with urllib.request.urlopen(f"http://{server.admin}/metrics", timeout=20) as response:
            self.series = promql.parse_series(response.read().decode())

    def labels_of(self, metric: str) -> set[str]:
        return {label for labels in self.series[metric] for label in labels} | promql.TARGET_LABELS

    def test_expressions_name_existing_metrics_and_labels(self) -> None:
        for expression in dashboard_expressions() + [alert["expr"] for alert in alerts()]:
            with self.subTest(expression):
                metrics = promql.metrics(expression)
                self.assertTrue(metrics)
                self.assertLessEqual(metrics, self.series.keys())
                known = set().union(*(self.labels_of(metric) for metric in metrics))
                self.assertLessEqual(promql.grouping_labels(expression), known)
                for metric, label, operator, value in promql.matchers(expression):
                    self.assertIn(label, self.labels_of(metric))
                    if operator in ("=", "=~") and not value.startswith("$"):
                        there = {labels.get(label) for labels in self.series[metric]}
                        self.assertLessEqual(set(value.split("|")), there)

    def test_texts_name_existing_labels(self) -> None:
        for alert in alerts():
            known = set().union(*(self.labels_of(metric) for metric in promql.metrics(alert["expr"])))
            with self.subTest(alert["alert"]):
                self.assertLessEqual(set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"])), known)

    def test_all_our_metrics_are_shown(self) -> None:
        shown = set().union(*map(promql.metrics, dashboard_expressions()))
        ours = {re.sub("_(bucket|sum|count)$", "", name) for name in self.series if name.startswith("tensorferry_")}
        self.assertEqual(ours - {re.sub("_(bucket|sum|count)$", "", name) for name in shown}, set())


class ExpressionsTest(unittest.TestCase):
    """Tests the parser of expressions, which the other tests use."""

    def test_metrics_are_found(self) -> None:
        expression = 'sum by (a) (rate(x_total{l=~"y|z", m="q"}[5m])) / 2e3 > on (b) z_w'
        self.assertEqual(promql.metrics(expression), {"x_total", "z_w"})
        self.assertEqual(promql.metrics('label_values(x{job=~"$job"}, instance)'), {"x"})

    def test_matchers_and_labels_are_found(self) -> None:
        self.assertEqual(promql.matchers('x{a="b", c!~"d|e"} + y{}'), [("x", "a", "=", "b"), ("x", "c", "!~", "d|e")])
        self.assertEqual(promql.grouping_labels("sum by (a, b) (x) * on (c) group_left (d) y"), {"a", "b", "c", "d"})

    def test_series_are_parsed(self) -> None:
        text = '# HELP x y\nx{a="b",c="d\\"e"} 1\nx{a="f"} 2\ny 3\n'
        self.assertEqual(promql.parse_series(text), {"x": [{"a": "b", "c": 'd\\"e'}, {"a": "f"}], "y": [{}]})


class DashboardTest(unittest.TestCase):

    def test_panels_do_not_overlap(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard()["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells

    def test_panels_have_descriptions(self) -> None:
        panels = dashboard()["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        for panel in panels:
            if panel["type"] == "row":
                continue
            with self.subTest(panel["title"]):
                self.assertTrue(panel["description"])
                for target in panel["targets"]:
                    self.assertEqual(target["datasource"]["uid"], "${datasource}")


class PromtoolTest(unittest.TestCase):
    """Tests the expressions with promtool."""

    def promtool(self, rules: dict, *args: object) -> None:
        if shutil.which("promtool") is None:
            self.skipTest("promtool is not installed (Debian's package prometheus)")
        with tempfile.TemporaryDirectory() as directory:
            (pathlib.Path(directory) / "rules.yaml").write_text(yaml.safe_dump(rules))
            shutil.copy(ALERT_CASES, directory)
            result = subprocess.run(["promtool", *args], cwd=directory, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_prometheus_accepts_the_rules(self) -> None:
        self.promtool(manifests.alert_groups(), "check", "rules", "rules.yaml")

    def test_alerts_fire_when_they_should(self) -> None:
        self.promtool(manifests.alert_groups(), "test", "rules", ALERT_CASES.name)

    def test_prometheus_accepts_the_dashboard(self) -> None:
        expressions = [target["expr"].replace("$__rate_interval", "5m") for target in dashboard_targets()]
        rules = [{"record": f"panel{i}", "expr": expression} for i, expression in enumerate(expressions)]
        self.promtool({"groups": [{"name": "dashboard", "rules": rules}]}, "check", "rules", "rules.yaml")


class AlertsTest(unittest.TestCase):

    def test_every_alert_has_a_case(self) -> None:
        cases = [case for test in yaml.safe_load(ALERT_CASES.read_text())["tests"] for case in test["alert_rule_test"]]
        firing = {case["alertname"] for case in cases if case["exp_alerts"]}
        quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
        self.assertEqual(firing, {alert["alert"] for alert in alerts()})
        self.assertEqual(quiet, firing)

    def test_every_alert_is_explained(self) -> None:
        text = (manifests.REPOSITORY / "deploy/README.md").read_text()
        for alert in alerts():
            self.assertIn(f"`{alert['alert']}`", text)


if __name__ == "__main__":
    unittest.main()
