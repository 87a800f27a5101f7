# SPDX-License-Identifier: Apache-2.0
"""Compares the verdicts of `tensorferry check` with those of the format's reference, the safetensors package.

Usage: reference_test.py PATH_OF_TENSORFERRY

Writes valid and broken files, and runs `tensorferry check` on all of them and the reference on each. The verdicts must
be equal, except for the cases marked STRICTER: files that lib/safetensors/README.md lists as refused by us alone. There
the reference must accept and we must refuse, so that the list stays correct.

TENSORFERRY_TEST_SEED sets the seed of the random mutations, which is printed.
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

# The expectations: equal verdicts, or accepted by the reference and refused by us.
SAME, STRICTER = "same", "stricter"


def reference_verdict(data):
    """Returns None if the reference accepts, else its reason."""
    try:
        safetensors.deserialize(data)
        return None
    except Exception as error:  # SafetensorError; any other exception is a refusal, too.
        return "%s: %s" % (type(error).__name__, error)


class Members(list):
    """The members of a JSON object in their order, duplicates included."""

    def has_repeated(self):
        return len({key for key, _ in self}) != len(self)


def is_listed_difference(data):
    """Returns true if a file that the reference accepts is one that lib/safetensors/README.md lists as refused by us."""
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
    """Returns the verdict of `tensorferry check` for each path: None for ok, else the reason."""
    done = subprocess.run([program, "check", *paths], capture_output=True, text=True, timeout=300)
    if done.returncode not in (0, 1):
        sys.exit("tensorferry check exited with %d: %s" % (done.returncode, done.stderr))
    said = {}
    known = set(paths)
    for line in (done.stdout + done.stderr).splitlines():
        path, colon, verdict = line.partition(": ")
        if colon and path in known:
            said[path] = None if verdict == "ok" or verdict.startswith("ok ") else verdict
    bad = any(reason is not None for reason in said.values())
    if done.returncode != (1 if bad else 0):
        sys.exit("tensorferry check exited with %d although %s file is bad" % (done.returncode, "a" if bad else "no"))
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
                failures.append("%s: tensorferry check printed no verdict" % name)
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
            failures.append("%s: the reference refuses its own file" % name)
    print("%d files: %s" % (len(cases), ", ".join("%d %s" % (n, what) for what, n in counts.items())))
    if failures:
        sys.exit("%d differences:\n%s" % (len(failures), "\n".join(failures[:20])))


if __name__ == "__main__":
    main()
