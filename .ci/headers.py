#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles each public header alone, with gcc and with clang, as a program that uses the installed package does.

Faults:
  - a header does not compile alone, or with itself twice, without warnings
  - a header includes, perhaps through others, what is neither ours, Abseil's nor the standard library's: gRPC, protobuf
    and CUDA least of all
"""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDES = ("lib/include", "client/include")
COMPILERS = ("g++", "clang++")
FLAGS = ("-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-H", "-x", "c++", "-")
FORBIDDEN = re.compile(r"^\s*#\s*include\s+[<\"]"
                       r"((?:grpc|grpcpp|google/protobuf)/[^>\"]*|[^>\"]*\.pb\.h|cuda[^>\"/]*\.h)[>\"]")
# Directories and files of the system that hold more than the standard library and Abseil.
FOREIGN = re.compile(r"/usr/(?:local/)?include/"
                     r"(?!c\+\+/|absl/|linux/|asm-generic/|x86_64-linux-gnu/|aarch64-linux-gnu/)"
                     r"(?:[^/]+/.*|(?:cuda|isa-l|zlib)[^/]*)$")


def compile_alone(compiler: str, header: str) -> tuple[str, list[str]]:
    """Returns the compiler's faults in a header, and the files that it includes, also through others."""
    name = header.split("/include/", 1)[1]
    command = [compiler, *(f"-I{directory}" for directory in INCLUDES), *FLAGS]
    result = subprocess.run(command, cwd=ROOT, input=f"#include \"{name}\"\n#include \"{name}\"\n", text=True,
                            capture_output=True, check=False)
    lines = result.stderr.splitlines()
    included = [line.split(maxsplit=1)[1] for line in lines if re.match(r"\.+ ", line)]
    others = [line for line in lines if not re.match(r"\.+ ", line) and not line.startswith("Multiple include guards")
              and not line.startswith("/usr/")]
    return "\n".join(others) if result.returncode != 0 else "", included


def line_of(header: str, included: str) -> int:
    """Returns the line on which a header includes a file; 1 if another header does."""
    for number, line in enumerate((ROOT / header).read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r"\s*#\s*include\s+[<\"]([^>\"]+)", line)
        if match and included.endswith("/" + match[1]):
            return number
    return 1


def check(compiler: str, header: str) -> list[str]:
    output, included = compile_alone(compiler, header)
    faults = []
    if output:
        first = re.search(r"^(\S+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", output, re.MULTILINE)
        where, what = (f"{first[1]}:{first[2]}", first[3]) if first else (f"{header}:1", output.splitlines()[0])
        faults.append(f"{where}: {header} does not compile alone with {compiler}: {what}")
    foreign: dict[str, str] = {}  # the first file of each foreign directory
    for file in included:
        if FOREIGN.match(file):
            foreign.setdefault(file.split("include/", 1)[1].split("/")[0], file)
    for file in foreign.values():
        faults.append(f"{header}:{line_of(header, file)}: includes {file}, perhaps through others: public headers need "
                      "only the standard library and Abseil")
    return faults


def mentions(header: str) -> list[str]:
    return [f"{header}:{number}: includes {match[1]}: no public header shows gRPC, protobuf or CUDA"
            for number, line in enumerate((ROOT / header).read_text(encoding="utf-8").splitlines(), 1)
            if (match := FORBIDDEN.match(line))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("headers", nargs="*", help="public headers, relative to the root (all)")
    parser.add_argument("--parallel", type=int, default=2, help="compilers at a time (2)")
    arguments = parser.parse_args()
    headers = arguments.headers or sorted(str(path.relative_to(ROOT)) for directory in INCLUDES
                                          for path in (ROOT / directory).rglob("*.h"))
    faults = [fault for header in headers for fault in mentions(header)]
    jobs = [(compiler, header) for header in headers for compiler in COMPILERS]
    with concurrent.futures.ThreadPoolExecutor(arguments.parallel) as pool:
        for found in pool.map(check, *zip(*jobs)) if jobs else ():
            faults += found
    for fault in dict.fromkeys(faults):
        print(fault, file=sys.stderr)
    count = len(dict.fromkeys(faults))
    print(f"{len(headers)} public headers compiled alone by {' and '.join(COMPILERS)}, {count} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
