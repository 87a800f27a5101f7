# SPDX-License-Identifier: Apache-2.0
"""Reads /metrics of a server."""

import re
import urllib.error
import urllib.request

import harness

_SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>[^ ]+)')
_LABEL = re.compile(r'([a-z_]+)="([^"]*)"')

# A series: its name and its labels.
Series = tuple[str, frozenset[tuple[str, str]]]


def get(server: harness.Server, path: str) -> tuple[int, str]:
    """Returns the status and the text of the admin port's answer."""
    try:
        with urllib.request.urlopen(f"http://{server.admin}{path}", timeout=harness.PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def parse(text: str) -> dict[Series, float]:
    """Parses Prometheus' text format. Each series must be there once."""
    samples: dict[Series, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise AssertionError(f"not a sample: {line!r}")
        series = match["name"], frozenset(_LABEL.findall(match["labels"] or ""))
        if series in samples:
            raise AssertionError(f"duplicate series: {line!r}")
        samples[series] = float(match["value"])
    return samples


def scrape(server: harness.Server) -> dict[Series, float]:
    status, text = get(server, "/metrics")
    if status != 200:
        raise AssertionError((status, text))
    return parse(text)


def total(samples: dict[Series, float], name: str, **labels: str) -> float:
    """Returns the sum of the series with this name and these labels. There must be at least one."""
    values = [value for (found, has), value in samples.items() if found == name and set(labels.items()) <= has]
    if not values:
        raise AssertionError(f"no series {name} with {labels}")
    return sum(values)
