#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the links of the .md files, and the repository paths in their code.

Faults:
  - a relative link names a file or directory that git does not track
  - the anchor of a link is no heading and no <a name="..."> of the file that it names
  - a web link is not well-formed; none is followed
  - a path in backticks, or in a block of code, below one of the top folders does not exist

Arguments are the files to check, by default the .md files that git tracks.
"""

import fnmatch
import functools
import pathlib
import posixpath
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]"
                  r"\(\s*(<[^<>\n]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)(?:\s+[\"'(][^)]*)?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[([^\]]+)\]:\s+(\S+)", re.MULTILINE)
REFERENCE_USE = re.compile(r"\[((?:[^\[\]])+)\]\[([^\[\]]*)\]")
AUTOLINK = re.compile(r"<(https?:[^>\s]*)>")
HTML_LINK = re.compile(r"<(?:a|img)\s[^>]*?(?:href|src)=\"([^\"]*)\"")
HTML_ANCHOR = re.compile(r"<[a-z0-9]+\s[^>]*?(?:name|id)=\"([^\"]+)\"")
PATH = re.compile(r"[\w.*{},/<>$-]+")
PLACEHOLDER = re.compile(r"<[^<>]*>|\b(?:FOLDER|FILE|NAME|TEST|TREE)\b")
HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*")


@functools.cache
def tracked() -> frozenset[str]:
    """Returns the files that git knows, and their directories."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True,
                           capture_output=True, text=True).stdout.split("\0")
    present = [name for name in names if name and pathlib.Path(name).exists()]
    parents = {str(parent) for name in present for parent in pathlib.PurePath(name).parents}
    return frozenset(present) | parents


def without_code(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Returns the text with all code blanked, and the code: line and text of each span or fenced line."""
    code: list[tuple[int, str]] = []
    lines = []
    fence = None
    for number, line in enumerate(text.split("\n"), 1):
        match = FENCE.match(line)
        if fence is None and match is not None:
            fence = match[1]
            lines.append("")
        elif fence is not None:
            if match is not None and match[1].startswith(fence) and not line.strip(" `~"):
                fence = None
            else:
                code.append((number, line))
            lines.append("")
        else:
            lines.append(line)
    prose = "\n".join(lines)

    def blank(match: re.Match[str]) -> str:
        code.append((prose.count("\n", 0, match.start()) + 1, match[2]))
        return "`" + re.sub(r"[^\n]", "x", match[2]) + "`"

    # Paragraph by paragraph, as a span of code does not pass an empty line.
    return CODE_SPAN.sub(lambda match: match[0] if "\n\n" in match[0] else blank(match), prose), code


def slug(heading: str) -> str:
    """Returns the anchor that GitHub gives to a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # the text of links
    text = re.sub(r"<[^>]+>", "", text)
    text = re.sub(r"(?<![\w])_(.+?)_(?![\w])", r"\1", text)  # emphasis
    text = re.sub(r"[^\w\- ]", "", text.strip().lower())
    return text.replace(" ", "-")


@functools.cache
def anchors(name: str) -> frozenset[str]:
    text = pathlib.Path(name).read_text(encoding="utf-8")
    prose, _ = without_code(text)
    lines = text.split("\n")
    found: set[str] = set(HTML_ANCHOR.findall(prose))
    count: dict[str, int] = {}
    for number, line in enumerate(prose.split("\n")):
        if HEADING.match(line) is None:
            continue
        anchor = slug(HEADING.match(lines[number])[2])
        repeated = count.get(anchor, 0)
        count[anchor] = repeated + 1
        found.add(f"{anchor}-{repeated}" if repeated else anchor)
    return frozenset(found)


def web_fault(url: str) -> str | None:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # raises ValueError if it is no number
    except ValueError as error:
        return str(error)
    if not parts.hostname or HOST.fullmatch(parts.hostname) is None:
        return "its host is not well-formed"
    if re.search(r"[\s<>\"{}|\\^`]|%(?![0-9A-Fa-f]{2})", url):
        return "it has characters that need to be escaped"
    return None


def link_fault(name: str, link: str) -> str | None:
    """Returns the fault of a link in the file `name`; None if there is none."""
    if re.match(r"https?:", link, re.IGNORECASE):
        fault = web_fault(link)
        return f"the link {link} is not well-formed: {fault}" if fault else None
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", link):
        return None if link.startswith("mailto:") else f"the link {link} has an unknown scheme"
    path, _, anchor = link.partition("#")
    target = name
    if path:
        path = urllib.parse.unquote(path)
        base = "" if path.startswith("/") else posixpath.dirname(name)
        target = posixpath.normpath(posixpath.join(base, path.lstrip("/")))
        if target not in tracked():
            return f"the link {link} is dead: there is no {target}"
        if path.endswith("/") and not pathlib.Path(target).is_dir():
            return f"the link {link} is dead: {target} is not a directory"
    if anchor or link.endswith("#"):
        if pathlib.Path(target).is_dir():
            target = posixpath.join(target, "README.md")
        if target.endswith(".md") and target in tracked():
            if anchor not in anchors(target):
                return f"the link {link} is dead: {target} has no heading for #{anchor}"
        elif re.fullmatch(r"L\d+(-L\d+)?", anchor) is None:
            return f"the link {link} is dead: {target} has no headings"
    return None


def braces(path: str) -> list[str]:
    """Returns the paths that a shell makes of {a,b}."""
    match = re.search(r"\{([^{}]*,[^{}]*)\}", path)
    if match is None:
        return [path]
    return [expanded for choice in match[1].split(",")
            for expanded in braces(path[:match.start()] + choice + path[match.end():])]


def exists(path: str) -> bool:
    """Returns true if git knows the path, a file without its ending, or a match of its *, <...> and FILE."""
    if path in tracked():
        return True
    pattern = re.sub(PLACEHOLDER, "*", path)
    if any(mark in pattern for mark in "*?"):
        return any(fnmatch.fnmatchcase(name, pattern) for name in tracked())
    return path + ".h" in tracked() or path + ".cc" in tracked() or path + ".proto" in tracked()


def code_faults(name: str, code: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    tops = {entry.split("/")[0] for entry in tracked() if "/" in entry}
    for number, text in code:
        for match in PATH.finditer(text):
            before = text[:match.start()]
            path = match[0].removeprefix("./")
            # After these it is part of a URL, another directory's path, a flag's value or an image's name.
            if before.endswith(("/", "~", ":", "@", "=", "+", "%")) or "$" in path or "..." in path:
                continue
            path = path.rstrip(".,")
            if "/" not in path.rstrip("/") or path.split("/")[0] not in tops:
                continue
            for expanded in braces(path):
                expanded = posixpath.normpath(expanded)
                # A folder's own README may name paths from there.
                if not exists(expanded) and not exists(posixpath.join(posixpath.dirname(name), expanded)):
                    yield number, f"`{path}`: there is no {expanded}"


def faults_of(name: str) -> tuple[int, int, list[str]]:
    """Returns the numbers of links and of pieces of code in a file, and its faults."""
    prose, code = without_code(pathlib.Path(name).read_text(encoding="utf-8"))
    definitions = {match[1].lower(): match for match in REFERENCE.finditer(prose)}
    links = [(match.start(), match[1].strip("<>")) for match in LINK.finditer(prose)]
    links += [(match.start(), match[2].strip("<>")) for match in definitions.values()]
    links += [(match.start(), match[1]) for expression in (AUTOLINK, HTML_LINK) for match in expression.finditer(prose)]
    found: list[tuple[int, str]] = []
    for offset, link in links:
        if fault := link_fault(name, link):
            found.append((prose.count("\n", 0, offset) + 1, fault))
    for match in REFERENCE_USE.finditer(prose):
        label = match[2] or match[1]
        if label.lower() not in definitions:
            found.append((prose.count("\n", 0, match.start()) + 1, f"the link [{label}] is not defined"))
    found += code_faults(name, code)
    return len(links), len(code), [f"{name}:{number}: {text}" for number, text in sorted(found)]


def main() -> None:
    names = sys.argv[1:] or sorted(name for name in tracked() if name.endswith(".md"))
    links = pieces = 0
    faults: list[str] = []
    for name in names:
        more_links, more_pieces, found = faults_of(name)
        links += more_links
        pieces += more_pieces
        faults += found
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{links} links and {pieces} pieces of code in {len(names)} files, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
