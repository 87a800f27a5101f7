#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the entries of ctest in a build directory with the tests that there are.

Faults:
  - a case of a gtest program, or a method of a Python test, is in no entry or in two of the same program
  - an entry matches no case or method
  - a tests/**/*_test.cc is in no target, or a tests/**/*_test.py in no entry
"""

import argparse
import ast
import fnmatch
import json
import pathlib
import re
import subprocess
import sys
from collections import defaultdict

ROOT = pathlib.Path(__file__).resolve().parent.parent


def gtest_cases(program: str) -> list[str]:
    listing = subprocess.run([program, "--gtest_list_tests"], check=True, capture_output=True, text=True).stdout
    cases = []
    suite = ""
    for line in listing.splitlines():
        name = line.split("#")[0].rstrip()
        if name.startswith("  "):
            cases.append(suite + name.strip())
        else:
            suite = name
    return cases


def python_methods(script: str) -> list[str]:
    """Returns Class.method for the classes at the top of a script, also methods that they inherit from each other."""
    methods: dict[str, list[str]] = {}
    for node in ast.parse(pathlib.Path(script).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            own = [item.name for item in node.body
                   if isinstance(item, ast.FunctionDef) and item.name.startswith("test")]
            inherited = [name for base in node.bases if isinstance(base, ast.Name) for name in methods.get(base.id, ())]
            methods[node.name] = sorted({*own, *inherited})
    return [f"{name}.{method}" for name, own in methods.items() for method in own]


def line_of(file: pathlib.Path, words: list[str]) -> int:
    """Returns the first line with all of the words; 1 if there is none."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if all(re.search(rf"\b{re.escape(word)}\b", line) for word in words):
            return number
    return 1


class Sources:
    """The test sources, and where in them a case or method is."""

    def __init__(self) -> None:
        self.files = sorted((ROOT / "tests").rglob("*_test.cc")) + sorted((ROOT / "tests").rglob("*_test.py"))

    def place(self, test: str) -> str:
        """Returns file:line of Suite.Case, with the prefix and parameters that gtest adds, or of Class.method."""
        name = re.match(r"(?:\w+/)?(\w+)(?:/\w+)?\.(\w+)", test)
        for file in self.files:
            words = [name[1], name[2]] if file.suffix == ".cc" else [name[2]]
            if (line := line_of(file, words)) > 1:
                return f"{file.relative_to(ROOT)}:{line}"
        return "tests/tests.cmake:1"


def matches(pattern: str, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, part) for part in pattern.split(":"))


def compare(what: str, tests: list[str], entries: list[tuple[str, str]], sources: Sources) -> list[str]:
    """Returns the faults of one program or script, whose entries are names and patterns."""
    faults = []
    parts = [(name, pattern) for name, pattern in entries if pattern != "*"]
    for name, pattern in parts:
        if not any(matches(pattern, test) for test in tests):
            faults.append(f"tests/tests.cmake:1: the entry {name} matches no test of {what}")
    whole = any(pattern == "*" for _, pattern in entries)
    for test in tests:
        found = [name for name, pattern in parts if matches(pattern, test)]
        if not found and not whole:
            faults.append(f"{sources.place(test)}: no entry of ctest runs {test} of {what}")
        elif len(found) > 1:
            faults.append(f"{sources.place(test)}: the entries {', '.join(found)} all run {test} of {what}")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, help="a build directory with its tests")
    build = parser.parse_args().build.resolve()
    listing = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True, capture_output=True,
                             text=True).stdout
    programs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    scripts: dict[str, list[tuple[str, str]]] = defaultdict(list)
    others = 0
    unbuilt: dict[str, int] = defaultdict(int)
    entries = json.loads(listing)["tests"]
    for entry in entries:
        command = entry.get("command")
        if command is None:  # ctest finds no program
            unbuilt[entry["name"].split(".")[0]] += 1
            continue
        script = next((word for word in command if word.endswith("_test.py")), None)
        if script is not None:
            named = [word for word in command[command.index(script) + 1:] if re.fullmatch(r"\w+(\.\w+)?", word)]
            scripts[script] += [(entry["name"], word) for word in named] or [(entry["name"], "*")]
        elif pathlib.Path(command[0]).parent == build / "tests":
            filters = [word.removeprefix("--gtest_filter=") for word in command if word.startswith("--gtest_filter=")]
            programs[command[0]].append((entry["name"], filters[0] if filters else "*"))
        else:
            others += 1

    sources = Sources()
    faults = [f"tests/tests.cmake:1: {name} is not built: {count} entries" for name, count in unbuilt.items()]
    cases = methods = 0
    for program, of_program in programs.items():
        tests = gtest_cases(program)
        cases += len(tests)
        faults += compare(pathlib.Path(program).name, tests, of_program, sources)
    for script, of_script in scripts.items():
        tests = python_methods(script)
        methods += len(tests)
        faults += compare(str(pathlib.Path(script).relative_to(ROOT)), tests, of_script, sources)

    compiled = set()
    if (build / "targets.json").is_file():
        for target in json.loads((build / "targets.json").read_text(encoding="utf-8")).values():
            compiled |= {pathlib.Path(target["directory"], source) for source in target["sources"]}
    for file in sources.files:
        known = file in compiled if file.suffix == ".cc" else str(file) in scripts
        if not known and (compiled or file.suffix == ".py"):
            place = "target" if file.suffix == ".cc" else "entry of ctest"
            faults.append(f"{file.relative_to(ROOT)}:1: is in no {place}")

    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(entries)} entries of ctest: {cases} cases of {len(programs)} programs, {methods} methods of "
          f"{len(scripts)} scripts, {others} others; {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
