#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# deploy/build.sh PRESET [-DNAME=VALUE...] [TARGET...]: builds all targets, or the given ones, in build/PRESET. Configures
# the preset first if it is new or a -D is given. Shows ninja's progress on a terminal, else a line every 20 s, and the
# output of the compiler only if it fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if (($# == 0)); then
  echo "build.sh: give a preset: debug, release, asan, tsan or fuzz" >&2
  exit 2
fi
preset=$1
shift
directory=build/$preset
definitions=()
targets=()
for argument in "$@"; do
  if [[ $argument == -D* ]]; then definitions+=("$argument"); else targets+=("$argument"); fi
done
mkdir -p "$directory"
log=$directory/build.log
seconds_between_lines=20

# One compiler per core, but each can need 1.5 GB of memory.
parallel=${CMAKE_BUILD_PARALLEL_LEVEL:-}
if [[ -z $parallel ]]; then
  parallel=$(nproc)
  fit=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo)
  if ((fit < parallel)); then parallel=$((fit > 0 ? fit : 1)); fi
fi

# In a copy of a tree that was built elsewhere, cmake refuses the old cache.
fresh=()
cache=$directory/CMakeCache.txt
if [[ -f $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$cache"; then fresh=(--fresh); fi

if ((${#definitions[@]} > 0 || ${#fresh[@]} > 0)) || [[ ! -f $directory/build.ninja ]]; then
  echo "Configuring $directory"
  if ! cmake --preset "$preset" "${fresh[@]}" "${definitions[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    echo "build.sh: cannot configure $directory: the output of cmake is above" >&2
    exit 1
  fi
fi

# Calls ninja directly: cmake would leave it running after an interrupt.
build=(ninja -C "$directory" -j "$parallel" "${targets[@]}")
echo "Building $directory (${targets[*]:-everything}) on $parallel cores; this may take minutes"
SECONDS=0
if [[ -t 1 ]]; then
  if ! "${build[@]}"; then
    echo "build.sh: cannot build $directory: the output of the compiler is above" >&2
    exit 1
  fi
else
  "${build[@]}" >"$log" 2>&1 &
  builder=$!
  trap 'kill "$builder" 2>/dev/null || true' EXIT
  next=$seconds_between_lines
  while kill -0 "$builder" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS < next)); then continue; fi
    step=$(grep -oE '^\[[0-9]+/[0-9]+\]' "$log" | tail -n 1 || true)
    printf '  %d s: %s\n' "$SECONDS" "${step:-starting}"
    next=$((SECONDS + seconds_between_lines))
  done
  status=0
  wait "$builder" || status=$?
  trap - EXIT
  if ((status != 0)); then
    grep -vE '^\[[0-9]+/[0-9]+\]' "$log" | tail -n 100 >&2 || true
    echo "build.sh: cannot build $directory: the whole log is $log" >&2
    exit 1
  fi
fi
echo "Built in $SECONDS s"
