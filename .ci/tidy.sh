#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# .ci/tidy.sh [BASE]: runs clang-tidy on the C++ files that differ from BASE, uncommitted changes included. Without BASE
# that is the point where HEAD left origin/main, or else HEAD~1. TIDY_SECONDS is the time after which no further file is
# started, by default 120; the closing line counts the files left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${TIDY_SECONDS:-120}
directory=build/tidy
SECONDS=0

fail() {
  printf 'tidy.sh: %s\n' "$*" >&2
  exit 1
}

# Prints the commit to compare with; nothing if there is none, as in a clone of depth 1.
find_base() {
  local base
  if base=$(git merge-base HEAD origin/main 2>/dev/null) && [[ $base != $(git rev-parse HEAD) ]]; then
    echo "$base"
  else
    git rev-parse --quiet --verify 'HEAD~1^{commit}' || true
  fi
}

if (($# > 0)); then
  base=$(git rev-parse --quiet --verify "$1^{commit}") || fail "git knows no commit \"$1\""
else
  base=$(find_base)
fi
if [[ -z $base ]]; then
  echo "0 files checked: this clone has no earlier commit"
  exit
fi

# A header is checked through a source that includes it: the one of the same name if there is one.
declare -A sources=()
while IFS= read -r -d '' file; do
  if [[ ! -f $file ]]; then continue; fi
  if [[ $file == *.cc ]]; then
    sources[$file]=1
    continue
  fi
  name=${file#*/include/}
  mapfile -t including < <(git grep -lF --untracked "#include \"$name\"" -- '*.cc')
  for source in "${including[@]}"; do
    if [[ $(basename "$source" .cc) == "$(basename "$file" .h)" ]]; then including=("$source"); fi
  done
  if ((${#including[@]} > 0)); then sources[${including[0]}]=1; fi
done < <(
  git diff --name-only -z --diff-filter=d "$base" -- '*.h' '*.cc'
  git ls-files -z --others --exclude-standard -- '*.h' '*.cc'
)
if ((${#sources[@]} == 0)); then
  echo "0 files checked: no C++ file differs from ${base:0:12}"
  exit
fi

# A build directory of its own, without precompiled headers, which clang-tidy cannot read. Nothing is compiled in it.
mkdir -p "$directory"
fresh=()
cache=$directory/CMakeCache.txt
if [[ -f $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$cache"; then fresh=(--fresh); fi
if ! {
  cmake --preset debug -B "$directory" "${fresh[@]}" -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
    -DTENSORFERRY_PRECOMPILE_HEADERS=OFF -DTENSORFERRY_TCMALLOC=OFF -DTENSORFERRY_BUILD_TESTS=ON \
    -DTENSORFERRY_BUILD_FUZZERS=ON -DTENSORFERRY_BUILD_BENCHMARKS=OFF &&
    ninja -C "$directory" proto/tensorferry/v1/tensor_service.pb.h proto/tensorferry/v1/tensor_service.grpc.pb.h
} >"$directory/tidy-configure.log" 2>&1; then
  cat "$directory/tidy-configure.log" >&2
  fail "cannot configure $directory: see above"
fi

mapfile -t files < <(printf '%s\n' "${!sources[@]}" | sort)
compiled=()
for file in "${files[@]}"; do
  if grep -qF "\"file\": \"$(pwd -P)/$file\"" "$directory/compile_commands.json"; then compiled+=("$file"); fi
done

# Prints the faults of one file.
check() {
  local output
  output=$(clang-tidy --quiet -p "$directory" "$1" 2>/dev/null) && return
  printf '%s\n' "$output" | sed "s#^$(pwd -P)/##" >&2
  return 1
}

running=0
faulty=0
started=0
for file in "${compiled[@]}"; do
  if ((SECONDS >= seconds)); then break; fi
  if ((running == 2)); then
    wait -n || faulty=$((faulty + 1))
    running=$((running - 1))
  fi
  check "$file" &
  running=$((running + 1))
  started=$((started + 1))
done
while ((running > 0)); do
  wait -n || faulty=$((faulty + 1))
  running=$((running - 1))
done

echo "$started files checked against ${base:0:12} in $SECONDS s, $faulty with faults;" \
  "$((${#compiled[@]} - started)) left out for time, $((${#files[@]} - ${#compiled[@]})) not part of this build"
((faulty == 0)) || exit 1
