#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/benchmarks/run.sh [--here] [ARGUMENT...]
#
# Installs the packages that the benchmarks need, builds them, and runs suite.py with the arguments (--rounds N,
# --workload NAME, --help). Needs 12 GiB of memory and 8 GiB of disk under build/.
#
# Runs in a separate network namespace where permitted, with cubic as the congestion control: bbr, the default of some
# machines, makes loopback erratic. With --here, runs in the machine's own network with its settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PATH=$PATH:/usr/sbin:/sbin
python=build/bench-venv/bin/python
own_network=yes
if [[ ${1:-} == --here ]]; then
  own_network=
  shift
elif [[ ${1:-} == --in-own-network ]]; then
  shift
  ip link set lo up
  loopback=(local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1)
  if ip route replace table local "${loopback[@]}" congctl cubic 2>/dev/null; then
    echo "network: a separate loopback, congestion control cubic"
  else
    echo "network: a separate loopback, congestion control $(</proc/sys/net/ipv4/tcp_congestion_control)"
  fi
  exec "$python" tests/benchmarks/suite.py "$@"
fi

nginx_was_there=$(command -v nginx || true)
deploy/packages.sh build bench
# Debian starts a web server when the package is installed, which is not wanted here.
if [[ -z $nginx_was_there ]] && command -v systemctl >/dev/null; then
  systemctl=(systemctl)
  if ((EUID != 0)); then systemctl=(sudo systemctl); fi
  "${systemctl[@]}" disable --now nginx >/dev/null 2>&1 || true
fi

requirements=tests/benchmarks/requirements.txt
stamp=build/bench-venv/installed.txt
state=$(pwd -P && python3 --version && cat "$requirements")
if [[ ! -f $stamp || $(<"$stamp") != "$state" ]]; then
  echo "installing the Python packages of the benchmarks into build/bench-venv"
  rm -rf build/bench-venv
  mkdir -p build
  python3 -m venv build/bench-venv
  "$python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
  printf '%s\n' "$state" >"$stamp"
fi

definitions=(-DTENSORFERRY_BUILD_BENCHMARKS=ON)
# The tests need packages that this script does not install.
if [[ ! -f build/release/build.ninja ]]; then definitions+=(-DTENSORFERRY_BUILD_TESTS=OFF); fi
deploy/build.sh release "${definitions[@]}" tensorferryd fetch_worker loop_worker http_worker header_worker \
  json_parsers echo_server echo_worker flight_server flight_worker

isolate=(unshare --net)
if ((EUID != 0)); then isolate+=(--map-current-user --keep-caps); fi
if [[ -n $own_network ]] && "${isolate[@]}" ip link set lo up 2>/dev/null; then
  exec "${isolate[@]}" "$PWD/tests/benchmarks/run.sh" --in-own-network "$@"
fi
echo "network: the machine's loopback, congestion control $(</proc/sys/net/ipv4/tcp_congestion_control)"
exec "$python" tests/benchmarks/suite.py "$@"
