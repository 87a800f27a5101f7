#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/previous.sh: builds tensorferryd and tensorferry of the previous release into build/previous/bin, for
# tests/e2e/fetch/compatibility_test.py. tests/previous-release.txt names the commit. Does nothing if they are built. If
# git does not have the commit, as in a tarball or a shallow clone, prints so and builds nothing: the test is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'previous.sh: %s\n' "$*" >&2
  exit 1
}

skip() {
  printf 'previous.sh: nothing built, compatibility will not be tested: %s\n' "$*"
  exit
}

release=tests/previous-release.txt
directory=build/previous
stamp=$directory/commit # compatibility_test.py compares it with $release
source=$directory/src
programs=(tensorferryd tensorferry)

commit=$(grep -vE '^(#|$)' "$release") || fail "$release names no commit"
if [[ $commit == none ]]; then skip "$release names no release"; fi
if [[ ! $commit =~ ^[0-9a-f]{40}$ ]]; then fail "$release must have one commit of 40 hexadecimal digits, has \"$commit\""; fi
if [[ -f $stamp && $(<"$stamp") == "$commit" ]]; then
  echo "$directory/bin has the programs of $commit"
  exit
fi
if ! command -v git >/dev/null; then skip "git is not installed"; fi
if ! problem=$(git rev-parse --git-dir 2>&1 >/dev/null); then skip "no commit $commit: $problem"; fi
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  skip "no commit $commit here; in a shallow clone, run git fetch --unshallow"
fi

rm -rf "$directory"
mkdir -p "$source" "$directory/bin"
git archive --format=tar "$commit" | tar -x -C "$source"

# Builds with the scripts of that commit. Newer compilers warn more: warnings are no errors.
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
