#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/previous.sh: builds tensorferryd and tensorferry of the previous release, whose commit tests/previous-release.txt
# names, into build/previous/bin, for tests/e2e/compatibility_test.py. Does nothing if they are there. If the commit is
# not (in a tarball or a shallow clone), it says so and builds nothing: the test is then skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'previous.sh: %s\n' "$*" >&2
  exit 1
}

skip() {
  printf 'previous.sh: nothing is built, and compatibility not tested: %s\n' "$*"
  exit
}

release=tests/previous-release.txt
directory=build/previous
stamp=$directory/commit # compatibility_test.py compares it with $release
source=$directory/src
programs=(tensorferryd tensorferry)

commit=$(grep -vE '^(#|$)' "$release") || fail "$release names no commit"
if [[ $commit == none ]]; then skip "$release names no release"; fi
if [[ ! $commit =~ ^[0-9a-f]{40}$ ]]; then fail "$release does not name one commit with 40 digits, but \"$commit\""; fi
if [[ -f $stamp && $(<"$stamp") == "$commit" ]]; then
  echo "$directory/bin has the programs of $commit"
  exit
fi
if ! command -v git >/dev/null; then skip "there is no git to get commit $commit with"; fi
if ! problem=$(git rev-parse --git-dir 2>&1 >/dev/null); then skip "commit $commit is not to be had: $problem"; fi
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  skip "git does not have commit $commit here; a shallow clone gets it with git fetch --unshallow"
fi

rm -rf "$directory"
mkdir -p "$source" "$directory/bin"
git archive --format=tar "$commit" | tar -x -C "$source"

# By its own scripts. A compiler that warns of more than there was then is no reason to fail.
"$source/deploy/packages.sh" build
"$source/deploy/build.sh" release -DTENSORFERRY_BUILD_TESTS=OFF -DTENSORFERRY_BUILD_BENCHMARKS=OFF \
  -DTENSORFERRY_WARNINGS_AS_ERRORS=OFF "${programs[@]}" &
builder=$!
trap 'kill "$builder" 2>/dev/null || true' EXIT
wait "$builder" || fail "cannot build commit $commit"
trap - EXIT

for program in "${programs[@]}"; do cp "$source/build/release/bin/$program" "$directory/bin"; done
rm -rf "$source"
echo "$commit" >"$stamp"
echo "$directory/bin has the programs of $commit"
