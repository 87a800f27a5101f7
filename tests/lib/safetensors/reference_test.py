# SPDX-License-Identifier: Apache-2.0
"""Compares the verdicts of `tensorferry check` with those of the format's reference, the safetensors package.

Usage: reference_test.py PATH_OF_TENSORFERRY

Makes a folder of files, valid and broken, has `tensorferry check` judge all of them in one run, and asks the reference
about each. They must agree, except where the README says that we are stricter: such a case carries the mark STRICTER,
and there the reference must accept and we refuse, so that the list cannot grow stale.

TENSORFERRY_TEST_SEED chooses the seed of the random mutations; it is printed.
"""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import safetensors

from reference_cases import agreed_cases, mutations, stricter_cases, written_by_the_reference

# Where the two agree, and where we refuse what the reference accepts.
SAME, STRICTER = "same", "stricter"


def reference_verdict(data):
    """None if the reference accepts, else its reason."""
    try:
        safetensors.deserialize(data)
        return None
    except Exception as error:  # SafetensorError; whatever else it raises is a refusal too.
        return "%s: %s" % (type(error).__name__, error)


class Members(list):
    """The members of a JSON object as they stand, repeated ones too."""

    def has_repeated(self):
        return len({key for key, _ in self}) != len(self)


def is_listed_difference(data):
    """Whether a file that the reference accepts is one that the README lists as refused by us."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size].decode(), object_pairs_hook=Members)
    if header.has_repeated():
        return True
    for name, value in header:
        if name == "__metadata__":
            if value is not None and (value.has_repeated() or any("\0" in text for pair in value for text in pair)):
                return True
            continue
        if "\0" in name or len(name.encode()) > 4096 or not isinstance(value, Members) or value.has_repeated():
            return True
        fields = dict(value)
        if isinstance(fields["dtype"], Members) or len(fields["shape"]) > 64:
            return True
        if any(dimension >= 2**63 for dimension in fields["shape"]):
            return True
    return False


def verdicts(program, paths):
    """What `tensorferry check` says of each path: None for ok, else the reason."""
    done = subprocess.run([program, "check", *paths], capture_output=True, text=True, timeout=300)
    if done.returncode not in (0, 1):
        sys.exit("tensorferry check ended with %d: %s" % (done.returncode, done.stderr))
    said = {}
    known = set(paths)
    for line in (done.stdout + done.stderr).splitlines():
        path, colon, verdict = line.partition(": ")
        if colon and path in known:
            said[path] = None if verdict == "ok" or verdict.startswith("ok ") else verdict
    bad = any(reason is not None for reason in said.values())
    if done.returncode != (1 if bad else 0):
        sys.exit("tensorferry check ended with %d although %s file is bad" % (done.returncode, "a" if bad else "no"))
    return said


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    seed = int(os.environ.get("TENSORFERRY_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print("seed: TENSORFERRY_TEST_SEED=%d" % seed, flush=True)

    agreed = list(agreed_cases())
    written = list(written_by_the_reference())
    seeds = [data for _, data in agreed if len(data) > 10 and reference_verdict(data) is None and len(data) < 600]
    cases = [(name, data, SAME) for name, data in agreed + written]
    cases += [(name, data, STRICTER) for name, data in stricter_cases()]
    cases += [(name, data, None) for name, data in mutations(random.Random(seed), seeds)]

    failures = []
    counts = {"accepted by both": 0, "refused by both": 0, "refused by us, as listed": 0}
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, "%04d_%s.safetensors" % (i, "".join(c for c in name if c.isalnum() or c == "_")))
                 for i, (name, _, _) in enumerate(cases)]
        for path, (_, data, _) in zip(paths, cases):
            with open(path, "wb") as file:
                file.write(data)
        said = verdicts(sys.argv[1], paths)
        for path, (name, data, mark) in zip(paths, cases):
            if path not in said:
                failures.append("%s: tensorferry check says nothing about it" % name)
                continue
            ours, theirs = said[path], reference_verdict(data)
            expected = SAME
            if mark == STRICTER or (mark is None and theirs is None and is_listed_difference(data)):
                expected = STRICTER
            if expected == STRICTER and theirs is None and ours is not None:
                counts["refused by us, as listed"] += 1
            elif expected == SAME and (ours is None) == (theirs is None):
                counts["accepted by both" if ours is None else "refused by both"] += 1
            else:
                failures.append("%s (expected: %s)\n  ours: %s\n  reference: %s\n  bytes: %r" % (
                    name, expected, ours or "ok", theirs or "ok", data[:300]))
    for name, data in written:
        if reference_verdict(data) is not None:
            failures.append("%s: the reference refuses what it wrote" % name)
    print("%d files: %s" % (len(cases), ", ".join("%d %s" % (n, what) for what, n in counts.items())))
    if failures:
        sys.exit("%d differences:\n%s" % (len(failures), "\n".join(failures[:20])))


if __name__ == "__main__":
    main()
