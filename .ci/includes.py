#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the #include lines of lib/, server/ and client/ against the folders and the links of the CMake targets.

Faults:
  - a file includes a header of another folder, and its target does not link that folder's target, directly or through
    PUBLIC links
  - folders include each other in a cycle
  - lib/ includes server/ or client/, or these include each other
  - a file that is included does not exist

The links are in BUILD/targets.json, which configuring writes: deploy/build/target_list.cmake.

A public header is part of the folder that has a source of the same name: dtype.h of lib/tensor, as that has dtype.cc.
Linking the target of the sources next to an include/ folder also allows the headers there. A public header without a
source is part of no folder.
"""

import argparse
import itertools
import json
import pathlib
import re
import sys
from collections import defaultdict

TREES = ("lib", "server", "client")
MAY_INCLUDE = {"lib": {"lib"}, "server": {"lib", "server"}, "client": {"lib", "client"}}
INCLUDE = re.compile(r'^\s*#\s*include\s+"((?:lib|server|client|tensorferry)/[^"]+)"')
GENERATED = "tensorferry/v1/"  # from proto/
PROTO_TARGET = "tensorferry_proto"


def fail(text: str) -> None:
    print(f"includes.py: {text}", file=sys.stderr)
    sys.exit(1)


class Sources:
    """The C++ files of the three trees, as paths relative to the root, and the includes between them."""

    def __init__(self, root: pathlib.Path) -> None:
        self.files = sorted(str(path.relative_to(root)) for tree in TREES for path in (root / tree).rglob("*")
                            if path.suffix in (".h", ".cc"))
        self.faults: list[str] = []
        self.includes: dict[str, list[tuple[int, str]]] = {}  # a file: line and included file
        self._public = {name.split("/include/", 1)[1]: name for name in self.files if "/include/" in name}
        self._folder_of_source = defaultdict(set)
        for name in self.files:
            if name.endswith(".cc"):
                self._folder_of_source[name.split("/")[0], pathlib.PurePath(name).stem].add(self._directory(name))
        for name in self.files:
            self.includes[name] = list(self._read(root, name))

    @staticmethod
    def _directory(name: str) -> str:
        return str(pathlib.PurePath(name).parent)

    def _read(self, root: pathlib.Path, name: str):
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if match is None:
                continue
            included = match[1]
            if included.startswith(GENERATED):
                yield number, included
            elif included in self._public:
                yield number, self._public[included]
            elif included in self.includes or (root / included).is_file():
                yield number, included
            else:
                self.faults.append(f"{name}:{number}: includes \"{included}\", which does not exist")

    def is_public(self, name: str) -> bool:
        return "/include/" in name

    def folder(self, name: str) -> str | None:
        """Returns the folder that a file is part of; None for a public header without a source."""
        if not self.is_public(name):
            return self._directory(name)
        path = pathlib.PurePath(name)
        tree = name.split("/")[0]
        folders = self._folder_of_source[tree, path.stem]
        if len(folders) == 1:
            return next(iter(folders))
        # Among sources of the same name, or without one: the folder named as the header's own.
        named = f"{tree}/{path.parent.name}"
        if named in folders or (not folders and any(file.startswith(named + "/") for file in self.files)):
            return named
        return None

    def folders(self, tree: str | None = None) -> list[str]:
        return sorted({self._directory(name) for name in self.files if not self.is_public(name)
                       and tree in (None, name.split("/")[0])})

    def folder_includes(self) -> dict[tuple[str, str], list[tuple[str, int, str]]]:
        """Returns the includes of other folders: (from, to) -> file, line, included file."""
        edges = defaultdict(list)
        for name, includes in self.includes.items():
            for number, included in includes:
                if included.startswith(GENERATED):
                    continue
                source, target = self.folder(name), self.folder(included)
                if source is not None and target is not None and source != target:
                    edges[source, target].append((name, number, included))
        return edges


def cycles(nodes: list[str], edges) -> list[list[str]]:
    """Returns the strongly connected components of more than one node."""
    reach = {node: {target for source, target in edges if source == node} for node in nodes}
    changed = True
    while changed:
        changed = False
        for node in nodes:
            wider = reach[node].union(*(reach[target] for target in reach[node]))
            if wider != reach[node]:
                reach[node] = wider
                changed = True
    components = {frozenset({node} | {other for other in reach[node] if node in reach[other]}) for node in nodes}
    return sorted(sorted(component) for component in components if len(component) > 1)


def upward(component: list[str], edges) -> list[tuple[str, str]]:
    """Returns the edges within a cycle that are to go: those against the order with the fewest such includes."""
    inside = {pair: len(where) for pair, where in edges.items() if pair[0] in component and pair[1] in component}

    def against(order) -> list[tuple[str, str]]:
        place = {node: number for number, node in enumerate(order)}
        return [pair for pair in inside if place[pair[0]] < place[pair[1]]]

    def cost(order) -> int:
        return sum(inside[pair] for pair in against(order))

    if len(component) <= 7:
        return against(min(itertools.permutations(component), key=cost))
    order = component  # moves one folder at a time to its best place, until none gains
    while True:
        moved = (order[:at] + order[at + 1:] for at in range(len(order)))
        better = min((rest[:to] + [order[at]] + rest[to:] for at, rest in enumerate(moved)
                      for to in range(len(order))), key=cost)
        if cost(better) >= cost(order):
            return against(order)
        order = better


def longest_chain(nodes, edges, components) -> int:
    """Returns the number of levels: the nodes of the longest chain, a cycle counted as one node."""
    group = {node: node for node in nodes}
    for component in components:
        group.update(dict.fromkeys(component, component[0]))
    below = defaultdict(set)
    for source, target in edges:
        if source in group and target in group and group[source] != group[target]:
            below[group[source]].add(group[target])
    depth: dict[str, int] = {}

    def level(node: str) -> int:
        if node not in depth:
            depth[node] = 1 + max((level(other) for other in below[node]), default=0)
        return depth[node]

    return max((level(group[node]) for node in nodes), default=0)


def print_levels(sources: Sources) -> None:
    edges = sources.folder_includes()
    for tree in TREES:
        folders = sources.folders(tree)
        inside = {pair: where for pair, where in edges.items() if set(pair) <= set(folders)}
        loops = cycles(folders, inside)
        wrong = [pair for loop in loops for pair in upward(loop, inside)]
        files = [name for name in sources.files if name.split("/")[0] == tree]
        between_files = [(name, included) for name in files for _, included in sources.includes[name]
                         if included.split("/")[0] == tree and included in sources.includes]
        file_loops = cycles(files, between_files)
        print(f"{tree}/: {len(files)} files in {len(folders)} folders, "
              f"{longest_chain(folders, inside, loops)} folder levels, "
              f"{longest_chain(files, between_files, file_loops)} file include levels, "
              f"{sum(len(inside[pair]) for pair in wrong)} upward includes, {len(loops)} cycles of folders"
              + "".join(f"; cycle: {' '.join(loop)}" for loop in loops)
              + "".join(f"; cycle of files: {' '.join(loop)}" for loop in file_loops))


def cycle_faults(sources: Sources) -> list[str]:
    edges = sources.folder_includes()
    faults = []
    for loop in cycles(sources.folders(), edges):
        for pair in upward(loop, edges):
            for name, number, included in edges[pair]:
                faults.append(f"{name}:{number}: includes \"{included}\" of {pair[1]}/, which includes {pair[0]}/, "
                              f"perhaps through others: a cycle of {', '.join(loop)}")
    for name, includes in sources.includes.items():
        tree = name.split("/")[0]
        for number, included in includes:
            other = included.split("/")[0]
            if other in TREES and other not in MAY_INCLUDE[tree]:
                faults.append(f"{name}:{number}: {tree}/ must not include \"{included}\" of {other}/")
    return faults


class Targets:
    """The targets of a configured build tree: the files and the links of each."""

    def __init__(self, root: pathlib.Path, build: pathlib.Path) -> None:
        path = build / "targets.json"
        if not path.is_file():
            fail(f"{path} does not exist: configure {build} first")
        self._targets = json.loads(path.read_text(encoding="utf-8"))
        self.of_file = defaultdict(set)
        self.of_folder = defaultdict(set)
        for name, target in self._targets.items():
            directory = pathlib.Path(target["directory"])
            if not directory.is_relative_to(root):
                fail(f"{path} describes another tree, {directory}: configure {build} again")
            if directory.relative_to(root).parts[:1] not in {(tree,) for tree in TREES}:
                continue
            for source in target["sources"]:
                file = pathlib.Path(directory, source)
                if file.is_relative_to(root):
                    if not file.is_file():
                        fail(f"{path} names {source}, which does not exist: configure {build} again")
                    file = file.relative_to(root)
                    self.of_file[str(file)].add(name)
                    self.of_folder[str(file.parent)].add(name)
        self._visible = {name: self._find_visible(name) for name in self._targets}

    def _find_visible(self, name: str) -> set[str]:
        seen = {name}
        waiting = self._names(self._targets[name]["links"]) + self._names(self._targets[name]["interface_links"])
        while waiting:
            link = waiting.pop()
            if link not in seen:
                seen.add(link)
                waiting += self._names(self._targets[link]["interface_links"])
        return seen

    def _names(self, links: list[str]) -> list[str]:
        """Returns those of our targets that the links make visible; not $<LINK_ONLY:...>, which are PRIVATE links."""
        names = []
        for link in links:
            while match := re.fullmatch(r"\$<BUILD_INTERFACE:(.*)>", link):
                link = match[1]
            if link in self._targets:
                names.append(link)
        return names

    def sees(self, name: str, others: set[str]) -> bool:
        return bool(self._visible[name] & others)

    def owners(self, folder: str) -> set[str]:
        """Returns the targets of a folder; one of headers only is the target named like it."""
        if folder not in self.of_folder:
            suffix = "_" + pathlib.PurePath(folder).name
            self.of_folder[folder] = {name for name, target in self._targets.items() if name.endswith(suffix)
                                      and pathlib.Path(target["directory"]).parts[-1:] in (
                                          (folder.split("/")[0],), (pathlib.PurePath(folder).name,))}
        return self.of_folder[folder]

    def of(self, sources: Sources, name: str) -> set[str]:
        """Returns the targets that a file is part of: those that list it, else those of its source or folder."""
        folder = sources.folder(name)
        if folder is None:
            return set()
        source = f"{folder}/{pathlib.PurePath(name).stem}.cc"
        return self.of_file.get(name) or self.of_file.get(source) or self.owners(folder)


def link_faults(sources: Sources, targets: Targets) -> list[str]:
    faults = []
    for name, includes in sources.includes.items():
        folder = sources.folder(name)
        if folder is None:
            continue
        own = targets.of(sources, name)
        if not own:
            faults.append(f"{name}:1: no CMake target has this file or others of {folder}/")
            continue
        for number, included in includes:
            if included.startswith(GENERATED):
                to, wanted = "proto", {PROTO_TARGET}
            else:
                to = sources.folder(included)
                if to is None or to == folder:
                    continue
                wanted = set(targets.of(sources, included))
                if sources.is_public(included):
                    wanted |= targets.of_folder.get(included.split("/include/")[0], set())
                if not wanted:
                    faults.append(f"{name}:{number}: includes \"{included}\" of {to}/, which no CMake target has")
                    continue
            for target in sorted(own):
                if not targets.sees(target, wanted):
                    faults.append(f"{name}:{number}: includes \"{included}\" of {to}/, but its target {target} links "
                                  f"none of {', '.join(sorted(wanted))}, directly or through PUBLIC links")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", type=pathlib.Path, help="a configured build directory")
    parser.add_argument("--levels", action="store_true", help="print the levels of folders and files; needs no build")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent,
                        help="the repository to look at (this one)")
    arguments = parser.parse_args()
    if arguments.build is None and not arguments.levels:
        parser.error("name a configured build directory, or --levels")
    root = arguments.root.resolve()
    sources = Sources(root)
    if arguments.levels:
        print_levels(sources)
    if arguments.build is None:
        return
    faults = sources.faults + cycle_faults(sources) + link_faults(sources, Targets(root, arguments.build.resolve()))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{sum(map(len, sources.includes.values()))} includes of {len(sources.files)} files in "
          f"{len(sources.folders())} folders, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
