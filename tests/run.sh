#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

usage() {
  cat <<'END'
usage: tests/run.sh [--preset PRESET] [--soak] [CTEST ARGUMENT...]

On a bare Debian 12: installs the packages that the tests need, builds everything and runs every test. Installing needs
root or sudo.

  --preset PRESET  Build and test release, debug, asan or tsan (default release).
  --soak           Run the long tests in full (default a tenth of their rounds, as in .ci/run).
  --help           Print this help and exit.

Put arguments for ctest last: tests/run.sh --soak -R slice --parallel 1

The test of compatibility with the previous release is skipped unless tests/previous.sh has built that release.
END
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=release
while (($# > 0)); do
  case "$1" in
    --preset)
      preset=${2:-}
      shift $(($# > 1 ? 2 : 1))
      ;;
    --preset=*)
      preset=${1#--preset=}
      shift
      ;;
    --soak)
      export TENSORFERRY_SOAK=1
      shift
      ;;
    --help | -h)
      usage
      exit
      ;;
    *) break ;;
  esac
done

packages=(build test)
benchmarks=OFF
around=()
case "$preset" in
  release) benchmarks=ON ;; # built, not run
  debug) ;;
  asan) packages+=(sanitizers) ;;
  tsan)
    packages+=(sanitizers)
    # ThreadSanitizer needs fixed addresses, which address randomization uses on some kernels.
    if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
      around=(setarch "$(uname -m)" --addr-no-randomize)
    fi
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac

deploy/packages.sh "${packages[@]}"
tests/venv.sh
"${around[@]}" deploy/build.sh "$preset" -DTENSORFERRY_BUILD_TESTS=ON -DTENSORFERRY_BUILD_BENCHMARKS=$benchmarks
"${around[@]}" ctest --preset "$preset" --parallel 2 --output-on-failure --no-tests=error "$@"
