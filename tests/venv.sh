#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/venv.sh: creates build/venv, the Python environment of the tests. Creates it again if the lists of its packages
# have changed.
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
# An environment is valid for one path, one version of Python and these lists.
state=$(
  pwd -P
  python3 --version
  cat "$requirements" "$requirements_no_deps"
) || fail "python3, $requirements and $requirements_no_deps are required"
if [[ -f $stamp && $(<"$stamp") == "$state" ]]; then exit; fi

echo "Installing the tests' Python packages into $venv"
rm -rf "$venv"
mkdir -p build
log=build/venv.log
if ! python3 -m venv "$venv" >"$log" 2>&1; then
  cat "$log" >&2
  fail "cannot create a virtual environment: install Debian's package python3-venv"
fi
pip_install() {
  if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >"$log" 2>&1; then return; fi
  cat "$log" >&2
  fail "pip cannot install $requirements and $requirements_no_deps: its output is above"
}
pip_install --requirement "$requirements"
pip_install --no-deps --requirement "$requirements_no_deps"
printf '%s\n' "$state" >"$stamp"
