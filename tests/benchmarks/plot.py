# SPDX-License-Identifier: Apache-2.0
"""Draws the results of a run of the suite as an SVG, with the standard library alone.

python3 tests/benchmarks/plot.py RESULTS.json OUTPUT.svg draws a file that suite.py --results wrote.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

FORMAT_VERSION = 1
# The beginnings of the names of all contenders that are not ours.
PEERS = ("nginx", "bare gRPC", "gRPC echo", "Arrow Flight", "cat", "reference")

WIDTH = 980
LABEL_WIDTH = 330
BAR_WIDTH = 500
ROW_HEIGHT = 20
BAR_HEIGHT = 14
TITLE_HEIGHT = 34
MARGIN = 16
OURS, PEER, INK, FAINT = "#2563eb", "#9ca3af", "#111827", "#4b5563"


@dataclasses.dataclass(frozen=True)
class Bar:
    """One contender of a workload, with the figure that the workload is about."""
    name: str
    value: float
    unit: str

    @property
    def is_ours(self) -> bool:
        return not self.name.startswith(PEERS)

    @property
    def label(self) -> str:
        return f"{self.value:.3g} {self.unit}" if self.value < 1000 else f"{self.value:.0f} {self.unit}"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One workload."""
    name: str
    title: str
    bars: Sequence[Bar]


@dataclasses.dataclass(frozen=True)
class Results:
    """A run of the suite."""
    machine: str
    panels: Sequence[Panel]


def to_json(results: Results) -> str:
    return json.dumps({"format": FORMAT_VERSION, **dataclasses.asdict(results)}, indent=1) + "\n"


def from_json(text: str) -> Results:
    """Raises ValueError if the file is of another version."""
    values = json.loads(text)
    if not isinstance(values, Mapping) or values.get("format") != FORMAT_VERSION:
        raise ValueError(f"not results of format {FORMAT_VERSION}")
    panels = [Panel(panel["name"], panel["title"], [Bar(**bar) for bar in panel["bars"]]) for panel in values["panels"]]
    return Results(values["machine"], panels)


def _text(x: float, y: float, text: str, *, size: int = 12, color: str = INK, anchor: str = "start",
          bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{color}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _panel(panel: Panel, top: float) -> list[str]:
    """Draws one workload. The longest bar of each panel has the full width: only bars of one panel compare."""
    note = " (shorter is better)" if any(bar.unit == "ms" for bar in panel.bars) else ""
    lines = [_text(MARGIN, top + 22, f"{panel.name}: {panel.title}{note}", size=13, bold=True)]
    most = max((bar.value for bar in panel.bars), default=0.0) or 1.0
    for i, bar in enumerate(panel.bars):
        y = top + TITLE_HEIGHT + i * ROW_HEIGHT
        width = max(1.0, bar.value / most * BAR_WIDTH)
        lines += [
            _text(LABEL_WIDTH - 8, y + BAR_HEIGHT - 3, bar.name, anchor="end"),
            f'<rect x="{LABEL_WIDTH}" y="{y:g}" width="{width:.1f}" height="{BAR_HEIGHT}" rx="2"'
            f' fill="{OURS if bar.is_ours else PEER}"/>',
            _text(LABEL_WIDTH + width + 6, y + BAR_HEIGHT - 3, bar.label, color=FAINT),
        ]
    return lines


def draw(results: Results) -> str:
    """Returns the SVG."""
    top = MARGIN + 30.0
    lines = [_text(MARGIN, MARGIN + 14, results.machine, color=FAINT)]
    for panel in results.panels:
        lines += _panel(panel, top)
        top += TITLE_HEIGHT + len(panel.bars) * ROW_HEIGHT + 6
    height = top + MARGIN
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}"'
            ' font-family="sans-serif" role="img">')
    title = "<title>Rates and latencies of tensorferry and of what people would use instead</title>"
    return "\n".join([head, title, f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>', *lines, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path, help="a file of suite.py --results")
    parser.add_argument("output", type=pathlib.Path, help="the SVG to write")
    arguments = parser.parse_args()
    arguments.output.write_text(draw(from_json(arguments.results.read_text())))


if __name__ == "__main__":
    main()
