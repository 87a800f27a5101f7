# SPDX-License-Identifier: Apache-2.0
"""Measures tensorferry and what people would use instead, in turns, and prints tables and ratios.

tests/benchmarks/run.sh runs it.
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
from measurement import Contender, print_table, ratio, take_turns
from stage import Place, Stage
from workloads import WORKLOADS

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often everyone is measured (9)")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="only this; may be repeated")
    parser.add_argument("--binaries", type=pathlib.Path, default=REPOSITORY / "build/release/bin",
                        help="the programs (build/release/bin)")
    parser.add_argument("--other-binaries", type=pathlib.Path, help="of another build, which is to compete, too")
    arguments = parser.parse_args()
    place = Place(arguments.binaries, arguments.other_binaries, REPOSITORY / "build/bench")
    place.root.mkdir(parents=True, exist_ok=True)
    # So that the servers end, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    print(f"{machine()}; {arguments.rounds} rounds")
    ratios: list[str] = []
    for name in arguments.workload or WORKLOADS:
        print(f"\n== {name}: {WORKLOADS[name].__doc__}")
        with contextlib.ExitStack() as stack:
            stage = Stage(place, stack)
            goals = WORKLOADS[name](stage)
            take_turns(stage.contenders, arguments.rounds)
        print_table(stage.contenders)
        ratios += ratios_of(name, stage.contenders, goals)
        sys.stdout.flush()
    print(f"\n{'':76} {'ratio':>8} {'goal':>9}")
    print("\n".join(ratios))


main()
