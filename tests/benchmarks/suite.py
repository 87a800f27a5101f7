# SPDX-License-Identifier: Apache-2.0
"""Measures tensorferry and its alternatives in turns, and prints tables and ratios.

Run it with tests/benchmarks/run.sh.
"""

import argparse
import contextlib
import os
import pathlib
import platform
import re
import signal
import sys

from goals import Goal, find
from measurement import Contender, percentile, print_table, ratio, take_turns
from plot import Bar, Panel, Results, draw, to_json
from stage import Place, Stage
from workloads import WORKLOADS

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# The workloads that are about the latency of calls, not about a rate.
LATENCY_WORKLOADS = ("read", "mixed")


def machine() -> str:
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}"


def ratios_of(workload: str, contenders: list[Contender], goals: list[Goal]) -> list[str]:
    lines = [line for goal in goals if (line := goal.line(workload, contenders))]
    for contender in contenders:
        other = find(contenders, f"other build: {contender.name}")
        if other:
            lines.append(f"{workload:11} {contender.name + ' / other build':64} {ratio(contender, other):8.2f}")
    return lines


def panel_of(workload: str, contenders: list[Contender]) -> Panel:
    """Returns the medians of a workload, to be drawn."""
    bars = []
    for contender in contenders:
        if workload in LATENCY_WORKLOADS or not contender.size_bytes:
            latencies = [latency for sample in contender.samples for latency in sample.latencies or [sample.seconds]]
            bars.append(Bar(contender.name, 1000 * percentile(latencies, 0.5), "ms"))
        else:
            bars.append(Bar(contender.name, contender.size_bytes / 1e6 / contender.median_seconds(), "MB/s"))
    return Panel(workload, WORKLOADS[workload].__doc__ or "", bars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each contender (default: 9)")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="run only this workload; may be repeated")
    parser.add_argument("--binaries", type=pathlib.Path, default=REPOSITORY / "build/release/bin",
                        help="directory of the programs (default: build/release/bin)")
    parser.add_argument("--other-binaries", type=pathlib.Path, help="directory of the programs of another build, to compare with")
    parser.add_argument("--results", type=pathlib.Path, metavar="FILE", help="write the medians as JSON")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE", help="draw the medians as an SVG")
    arguments = parser.parse_args()
    place = Place(arguments.binaries, arguments.other_binaries, REPOSITORY / "build/bench")
    place.root.mkdir(parents=True, exist_ok=True)
    # Runs the exit handlers, which end the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    conditions = f"{machine()}; {arguments.rounds} rounds"
    print(conditions)
    ratios: list[str] = []
    panels: list[Panel] = []
    for name in arguments.workload or WORKLOADS:
        print(f"\n== {name}: {WORKLOADS[name].__doc__}")
        with contextlib.ExitStack() as stack:
            stage = Stage(place, stack)
            goals = WORKLOADS[name](stage)
            take_turns(stage.contenders, arguments.rounds)
        print_table(stage.contenders)
        ratios += ratios_of(name, stage.contenders, goals)
        panels.append(panel_of(name, stage.contenders))
        sys.stdout.flush()
    print(f"\n{'':76} {'ratio':>8} {'goal':>9}")
    print("\n".join(ratios))
    results = Results(conditions, panels)
    if arguments.results:
        arguments.results.write_text(to_json(results))
    if arguments.plot:
        arguments.plot.write_text(draw(results))


main()
