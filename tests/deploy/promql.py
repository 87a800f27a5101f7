# SPDX-License-Identifier: Apache-2.0
"""Finds the names in expressions of Prometheus and in its text format. Unknown words count as metrics."""

import re

# Words in the place of a metric that are not metrics.
WORDS = {
    "absent", "and", "bool", "by", "changes", "count", "group_left", "group_right", "histogram_quantile", "ignoring",
    "increase", "label_values", "max", "min", "on", "or", "rate", "sum", "time", "unless", "vector", "without",
}
# Labels that Prometheus and the cluster add.
TARGET_LABELS = {"instance", "job", "le", "namespace", "pod"}

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SELECTOR = re.compile(rf"({_NAME})\s*\{{([^}}]*)\}}")
_MATCHER = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def matchers(expression: str) -> list[tuple[str, str, str, str]]:
    """Returns metric, label, operator and value of each matcher."""
    return [(metric, *matcher) for metric, inside in _SELECTOR.findall(expression)
            for matcher in _MATCHER.findall(inside)]


def grouping_labels(expression: str) -> set[str]:
    """Returns the labels by which an expression groups or joins."""
    return {label.strip() for _, labels in _GROUPING.findall(expression) for label in labels.split(",")} - {""}


def metrics(expression: str) -> set[str]:
    """Returns the metrics of an expression."""
    rest = re.sub(r'"[^"]*"', "", expression)
    rest = re.sub(r"\{[^}]*\}", "", rest)
    rest = _GROUPING.sub("", rest)
    rest = re.sub(r"\[[^\]]*\]", "", rest)
    if rest.startswith("label_values("):
        rest = rest.split(",")[0]
    return set(re.findall(rf"(?<![0-9.]){_NAME}", rest)) - WORDS


def parse_series(text: str) -> dict[str, list[dict[str, str]]]:
    """Returns the labels of every series of each metric in the text format. Histograms have suffixes such as _bucket."""
    found: dict[str, list[dict[str, str]]] = {}
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        name, labels = re.match(rf"({_NAME})(?:\{{(.*)\}})? ", line).groups()
        found.setdefault(name, []).append(dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")))
    return found
