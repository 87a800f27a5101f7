#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the wording of tracked text files.

Faults:
  - a comment, a paragraph of a comment or a docstring begins with one of OPENINGS
  - one of PHRASES occurs anywhere, also across a line break

Arguments are the files to check, by default those that git tracks.
"""

import ast
import io
import pathlib
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator

OPENINGS = ("What", "Whether", "Who", "Whoever")
# With "_" for a space and "|" within a word, so that this file does not match.
PHRASES = {"an|ew": "again", "taken_over": "reloaded", "goes_on": "continues", "go_on_with": "continue",
           "be|side": "next to, or beyond", "stands_in": "is in, or stub or fake"}

SLASH_COMMENTS = (".h", ".cc", ".proto", ".js", ".in.h")
HASH_COMMENTS = (".sh", ".cmake", ".yaml", ".yml", ".toml", ".service", ".conf", ".supp", ".in", ".txt")
HASH_NAMES = ("run", "Containerfile", ".clang-tidy", ".clang-format", ".gitignore")
SKIPPED = re.compile(r"(^|/)LICENSE$|^tests/fuzz/corpus/")

# Before the first word: doc marks, bullets, quotes, and a label such as "name(ARGUMENTS): ".
OPENING = re.compile(r"(?:[-*/!<>\s\"'`(]*)(?:TODO\S*\s+)?"
                     rf"(?:[\w:.]+(?:\([^()]*\))?:\s+)?({'|'.join(OPENINGS)})\b")
# Between the words of a phrase: a space or a line break, with the comment or string marks around that.
GAP = r"(?:[\"'#*>\\/]*\s[\s\"'#*>\\/]*)"
PHRASE = re.compile(r"\b(" + "|".join(phrase.replace("|", "").replace("_", GAP) for phrase in PHRASES) + r")\b",
                    re.IGNORECASE)

Comment = tuple[int, int, bool, str]  # line, column, whether code comes before it on the line, text

CPP_TOKEN = re.compile(r"""
    (?P<raw>R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)")
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<char>(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*')
  | (?P<line>//[^\n]*)
  | (?P<block>/\*.*?\*/)
""", re.VERBOSE | re.DOTALL)


def position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1)


def slash_comments(text: str) -> Iterator[Comment]:
    for match in CPP_TOKEN.finditer(text):
        if match["line"] is None and match["block"] is None:
            continue
        line, column = position(text, match.start())
        after_code = bool(text[match.start() - column:match.start()].strip())
        if match["line"] is not None:
            yield line, column, after_code, match["line"][2:]
        else:
            for number, part in enumerate(match["block"][2:-2].split("\n")):
                yield line + number, column, after_code and number == 0, part.strip().removeprefix("*")


def python_comments(text: str) -> Iterator[Comment]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield *token.start, bool(token.line[:token.start[1]].strip()), token.string.lstrip("#")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
                node) is not None:
            docstring = node.body[0].value
            for number, part in enumerate(docstring.value.split("\n")):
                # The column -1: no comment around it has the same, so that a docstring is a block of its own.
                yield docstring.lineno + number, -1, False, part


def hash_comments(text: str) -> Iterator[Comment]:
    for number, line in enumerate(text.split("\n"), 1):
        quote = None
        for column, char in enumerate(line):
            if quote is not None:
                quote = None if char == quote else quote
            elif char in "\"'" and (column == 0 or not line[column - 1].isalnum()):
                quote = char
            elif char == "#" and (column == 0 or line[column - 1].isspace()):
                yield number, column, bool(line[:column].strip()), line[column + 1:]
                break


def comments_of(name: str, text: str) -> Iterator[Comment]:
    path = pathlib.PurePath(name)
    if path.suffix == ".py":
        return python_comments(text)
    if path.suffix in SLASH_COMMENTS:
        return slash_comments(text)
    if path.suffix in HASH_COMMENTS or path.name in HASH_NAMES or text.startswith("#!"):
        return hash_comments(text)
    return iter(())


def opening_faults(name: str, text: str) -> tuple[int, list[str]]:
    """Returns the number of blocks and paragraphs of comments, and the faults in their first words."""
    faults = []
    blocks = 0
    last: tuple[int, int] | None = None  # line and column of the paragraph's last line; none after an empty one
    for line, column, after_code, part in sorted(comments_of(name, text)):
        if not part.strip(" \t/#!*"):
            last = None
            continue
        continues = last == (line - 1, column) and not after_code
        last = (line, column)
        if continues:
            continue
        blocks += 1
        if match := OPENING.match(part):
            faults.append(f"{name}:{line}: a comment begins with \"{match[1]}\": begin with a verb or a noun, as in "
                          "\"Returns true if ...\"")
    return blocks, faults


def phrase_faults(name: str, text: str) -> Iterator[str]:
    advice = {phrase.replace("|", "").replace("_", " "): words for phrase, words in PHRASES.items()}
    for match in PHRASE.finditer(text):
        phrase = " ".join(re.findall(r"\w+", match[1])).lower()
        yield f"{name}:{position(text, match.start())[0]}: \"{phrase}\": write: {advice[phrase]}"


def tracked_files() -> list[str]:
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True,
                           capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in names if name and not SKIPPED.search(name) and pathlib.Path(name).is_file()})


def main() -> None:
    files = blocks = 0
    faults: list[str] = []
    for name in sys.argv[1:] or tracked_files():
        content = pathlib.Path(name).read_bytes()
        if b"\0" in content:
            continue
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            faults.append(f"{name}:{content.count(bytes([10]), 0, error.start) + 1}: is not UTF-8")
            continue
        files += 1
        count, found = opening_faults(name, text)
        blocks += count
        faults += found + list(phrase_faults(name, text))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{files} files with {blocks} comments, {len(faults)} faults in their words")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
