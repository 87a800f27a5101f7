#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/benchmarks/run.sh [--rounds N]: installs what the benchmarks need, builds them, and runs them: a tensor of 1 GiB
# from tensorferryd and from nginx in turns, then the JSON parsers. Needs 3 GiB of memory and 1 GiB of disk under
# build/. Further arguments go to throughput_benchmark.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PATH=$PATH:/usr/sbin:/sbin
# What is measured runs in a network of its own where that is permitted: there cubic can be the congestion control, for
# bbr, some machines' default, makes loopback erratic.
congestion=$(</proc/sys/net/ipv4/tcp_congestion_control)
if [[ ${1:-} == --measure-here ]]; then
  shift
elif [[ ${1:-} == --measure-in-own-network ]]; then
  shift
  ip link set lo up
  loopback=(local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1)
  if ip route replace table local "${loopback[@]}" congctl cubic 2>/dev/null; then congestion=cubic; fi
else
  nginx_was_there=$(command -v nginx || true)
  deploy/packages.sh build bench
  # Debian starts a web server with the package; nobody asked for one.
  if [[ -z $nginx_was_there ]] && command -v systemctl >/dev/null; then
    systemctl=(systemctl)
    if ((EUID != 0)); then systemctl=(sudo systemctl); fi
    "${systemctl[@]}" disable --now nginx >/dev/null 2>&1 || true
  fi
  definitions=(-DTENSORFERRY_BUILD_BENCHMARKS=ON)
  # The tests need packages that are not installed here.
  if [[ ! -f build/release/build.ninja ]]; then definitions+=(-DTENSORFERRY_BUILD_TESTS=OFF); fi
  deploy/build.sh release "${definitions[@]}" tensorferryd throughput_benchmark json_parsers

  own_network=(unshare --net)
  if ((EUID != 0)); then own_network+=(--map-current-user --keep-caps); fi
  if [[ $congestion != cubic ]] && "${own_network[@]}" ip link set lo up 2>/dev/null; then
    # Both: as the machine is, and with what most machines have.
    "$PWD/tests/benchmarks/run.sh" --measure-here "$@"
    exec "${own_network[@]}" "$PWD/tests/benchmarks/run.sh" --measure-in-own-network "$@"
  fi
fi
bench=$PWD/build/bench
programs=$PWD/build/release/bin
rm -rf "$bench/nginx" "$bench/address"
mkdir -p "$bench/root" "$bench/nginx"

server_pid=
nginx_pid=
clean_up() {
  local pid
  for pid in $server_pid $nginx_pid; do kill -TERM "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$bench/nginx" "$bench/address"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  printf 'benchmarks: %s\n' "$*" >&2
  exit 1
}

# A file with one tensor of random bytes; kept for the next run.
size=$((1 << 30))
model=one-gib.safetensors
file=$bench/root/$model
json=$(printf '{"tensor":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' "$size" "$size")
json=$(printf '%-120s' "$json") # with the 8 bytes of the length, the data begins at byte 128
offset=128
if [[ ! -f $file || $(stat -c %s "$file") != $((offset + size)) ]]; then
  echo "Writing $file"
  { printf '\x78\0\0\0\0\0\0\0%s' "$json" && head -c "$size" /dev/urandom; } >"$file.tmp"
  mv "$file.tmp" "$file"
fi
cat "$file" >/dev/null # into memory

"$programs/tensorferryd" --root "$bench/root" --listen 127.0.0.1:0 >"$bench/address" 2>"$bench/server.log" &
server_pid=$!

# nginx cannot choose a port of its own.
start_nginx() {
  local port=$1
  cat >"$bench/nginx/nginx.conf" <<END
$( ((EUID != 0)) || echo "user root;")
worker_processes 1;
daemon off;
pid $bench/nginx/nginx.pid;
error_log $bench/nginx/error.log;
events {}
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path $bench/nginx/body;
  proxy_temp_path $bench/nginx/proxy;
  fastcgi_temp_path $bench/nginx/fastcgi;
  uwsgi_temp_path $bench/nginx/uwsgi;
  scgi_temp_path $bench/nginx/scgi;
  server {
    listen 127.0.0.1:$port;
    root $bench/root;
  }
}
END
  nginx -p "$bench/nginx" -c "$bench/nginx/nginx.conf" -e "$bench/nginx/error.log" >/dev/null 2>&1 &
  nginx_pid=$!
  local i
  for ((i = 0; i < 50; ++i)); do
    sleep 0.1
    if ! kill -0 "$nginx_pid" 2>/dev/null; then return 1; fi
    if [[ -s $bench/nginx/nginx.pid ]] && pgrep -P "$nginx_pid" >/dev/null; then return; fi
  done
  return 1
}
nginx_port=
for port in 38080 38081 38082 38083; do
  if start_nginx "$port"; then
    nginx_port=$port
    break
  fi
  kill "$nginx_pid" 2>/dev/null || true
done
[[ -n $nginx_port ]] || fail "nginx does not start: $(tail -n 3 "$bench/nginx/error.log")"
nginx_pids=$nginx_pid,$(pgrep -d, -P "$nginx_pid")

for ((i = 0; i < 100; ++i)); do
  server=$(sed -n 's/^tensorferryd listening on //p' "$bench/address")
  if [[ -n $server ]] || ! kill -0 "$server_pid" 2>/dev/null; then break; fi
  sleep 0.1
done
[[ -n $server ]] || fail "tensorferryd does not start: $(<"$bench/server.log")"

echo
echo "== Throughput, over loopback, congestion control $congestion"
"$programs/throughput_benchmark" --server "$server" --model "$model" --tensor tensor --server-pid "$server_pid" \
  --nginx "127.0.0.1:$nginx_port" --url "/$model" --nginx-pid "$nginx_pids" --file "$file" --offset "$offset" "$@"
echo
echo "== JSON parsers"
"$programs/json_parsers"
