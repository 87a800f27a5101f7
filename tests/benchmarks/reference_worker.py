# SPDX-License-Identifier: Apache-2.0
"""reference_worker.py FILE: opens a file with the reference library on each command of suite.py (worker.h)."""

import resource
import sys
import time

import safetensors


def main() -> None:
    path = sys.argv[1]
    for command in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF)
        start = time.perf_counter()
        with safetensors.safe_open(path, "numpy"):
            seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        faults = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt
        # No bytes arrive, so that the checksum is that of no bytes.
        print("00000000" if command.strip() == "check" else f"{seconds:.9f} {cpu:.6f} {faults}", flush=True)


main()
