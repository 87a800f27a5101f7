#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/venv.sh: makes build/venv, the Python environment of the tests, or brings it up to date where the lists of what
# it holds have changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'venv.sh: %s\n' "$*" >&2
  exit 1
}

requirements=tests/requirements.txt
requirements_no_deps=tests/requirements-no-deps.txt
venv=build/venv
stamp=$venv/installed.txt
# Environments cannot be moved, nor outlive their Python.
state=$(
  pwd -P
  python3 --version
  cat "$requirements" "$requirements_no_deps"
) || fail "python3 and the lists $requirements and $requirements_no_deps are needed"
if [[ -f $stamp && $(<"$stamp") == "$state" ]]; then exit; fi

echo "Installing the tests' Python packages into $venv"
rm -rf "$venv"
mkdir -p build
log=build/venv.log
if ! python3 -m venv "$venv" >"$log" 2>&1; then
  cat "$log" >&2
  fail "cannot make a virtual environment: Debian's package python3-venv is needed"
fi
pip_install() {
  if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >"$log" 2>&1; then return; fi
  cat "$log" >&2
  fail "pip cannot install what $requirements and $requirements_no_deps ask for: what it said stands above"
}
pip_install --requirement "$requirements"
pip_install --no-deps --requirement "$requirements_no_deps"
printf '%s\n' "$state" >"$stamp"
