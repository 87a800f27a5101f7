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

from measurement import Contender, Goal, print_table, ratio, take_turns
from workloads import WORKLOADS, Place, Stage

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def machine() -> str:
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}"


def find(contenders: list[Contender], name: str) -> Contender | None:
    return next((contender for contender in contenders if contender.name == name), None)


def ratios_of(workload: str, contenders: list[Contender], goals: list[Goal]) -> list[str]:
    lines = []
    for goal in goals:
        ours, peer = find(contenders, goal.ours), find(contenders, goal.peer)
        if ours and peer:
            lines.append(f"{workload:8} {goal.ours + ' / ' + goal.peer:64} {ratio(ours, peer):8.2f} {goal.ratio:8.2f}")
    for contender in contenders:
        other = find(contenders, f"other build: {contender.name}")
        if other:
            lines.append(f"{workload:8} {contender.name + ' / other build':64} {ratio(contender, other):8.2f}")
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
    print(f"\n{'':73} {'ratio':>8} {'goal':>8}")
    print("\n".join(ratios))


main()
