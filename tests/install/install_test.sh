#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# install_test.sh BUILD_DIR SOURCE_DIR: tests that the result of `cmake --install` is sufficient for another project, and
# contains nothing that it should not.
set -euo pipefail

build_dir=$1
source_dir=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/tensorferry-install.XXXXXX")
server_pid=
clean_up() {
  if [[ -n $server_pid ]]; then kill -TERM "$server_pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap clean_up EXIT

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# Runs a command and shows its output only if it fails.
quietly() {
  if ! "$@" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    fail "$*"
  fi
}

prefix=$work/prefix
quietly cmake --install "$build_dir" --prefix "$prefix"
"$prefix/bin/tensorferryd" --version
"$prefix/bin/tensorferry" --version

echo "The package contains no path of this machine"
while IFS= read -r -d '' file; do
  if grep -nF -e "$source_dir" -e "$build_dir" "$file"; then fail "${file#"$prefix"/} contains a path of the build"; fi
done < <(find "$prefix" -name '*.cmake' -print0)

echo "Public headers: no gRPC, no protobuf, no CUDA, and each compiles alone"
mapfile -d '' -t headers < <(cd "$prefix/include" && find tensorferry -name '*.h' -print0 | sort -z)
((${#headers[@]} > 0)) || fail "no header was installed"
[[ -f $prefix/include/tensorferry/client.h ]] || fail "tensorferry/client.h was not installed"
for header in "${headers[@]}"; do
  if grep -nE '#[[:space:]]*include[[:space:]]*[<"](grpc|google/protobuf|.*\.pb\.h|cuda)' "$prefix/include/$header"; then
    fail "$header includes gRPC, protobuf or CUDA"
  fi
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$work/header.cc"
  quietly g++ -std=c++20 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$prefix/include" "$work/header.cc"
done
echo "  ${#headers[@]} headers"

echo "A project with find_package(tensorferry) builds"
quietly cmake -S "$source_dir/tests/install" -B "$work/downstream" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror"
quietly cmake --build "$work/downstream" --parallel 2

echo "Its programs run"
quietly "$build_dir/bin/tensorferry_sample_model" "$work/root/sample"
: >"$work/address"
"$prefix/bin/tensorferryd" --root "$work/root" --listen 127.0.0.1:0 --admin-listen off --lame-duck 0 >"$work/address" 2>"$work/server.log" &
server_pid=$!
client=$prefix/bin/tensorferry
for ((i = 0; i < 300; ++i)); do
  server=$(sed -n 's/^tensorferryd listening on //p' "$work/address")
  if [[ -n $server ]] || ! kill -0 "$server_pid" 2>/dev/null; then break; fi
  sleep 0.1
done
[[ -n $server ]] || fail "the server did not start: $(<"$work/server.log")"

tensor=model.embed_tokens.weight
shard=$work/root/sample/model-00001-of-00002.safetensors
file_offset=$("$client" info --json --server "$server" sample "$tensor" | sed -E 's/.*"file_offset":([0-9]+).*/\1/')
bytes=$(od -An -v -tx1 -j "$file_offset" -N 8 "$shard" | sed -E 's/ 0/ /g')
got=$("$work/downstream/rows" "$server" sample "$tensor" | tail -n 1)
[[ $got == 65536/65536 ]] || fail "rows printed \"$got\""
got=$("$work/downstream/example" "$server" sample "$tensor")
[[ $got == "BF16 [ 4096 512 ]$bytes" ]] || fail "the example printed \"$got\", not \"BF16 [ 4096 512 ]$bytes\""
echo "  $got"
if "$work/downstream/example" "$server" sample no.such.tensor 2>"$work/error"; then
  fail "the example succeeded with a missing tensor"
fi
grep -q no.such.tensor "$work/error" || fail "the example's error does not name the tensor: $(<"$work/error")"

"$client" ls --json --server "$server" sample | grep -oE '"name":"[^"]*"' | cut -d'"' -f4 >"$work/listed"
"$work/downstream/rank" "$server" sample 1 2 >"$work/shards" || fail "rank ended with status $?"
diff <(sed 's/ [0-9]*$//' "$work/shards" | LC_ALL=C sort) <(LC_ALL=C sort "$work/listed") ||
  fail "rank does not report every tensor once"
for shard in "$tensor 2097152" "model.position_ids 16384" "model.layers.0.input_layernorm.weight 2048"; do
  grep -qxF "$shard" "$work/shards" || fail "rank does not report \"$shard\""
done
echo "  $(wc -l <"$work/shards") shards of rank 1 of 2"

if [[ -n ${TENSORFERRY_FAKE_CUDA_DIR:-} ]]; then
  got=$(LD_LIBRARY_PATH=$TENSORFERRY_FAKE_CUDA_DIR "$work/downstream/device_rank" "$server" sample "$tensor" 1 2)
  [[ $got == "2097152 bytes are on cuda:1" ]] || fail "device_rank printed \"$got\""
  echo "  $got"
fi
if ldd "$work/downstream/device_rank" | grep -E 'libcuda'; then fail "device_rank links CUDA"; fi

"$work/downstream/safetensors_only" "$work/root/sample" >"$work/names"
diff "$work/names" "$work/listed" ||
  fail "safetensors_only does not print the model's tensors"
if ldd "$work/downstream/safetensors_only" | grep -E 'grpc|protobuf'; then fail "safetensors_only links the network"; fi
echo "  $(wc -l <"$work/names") names without the network"

kill -TERM "$server_pid"
status=0
wait "$server_pid" || status=$?
server_pid=
((status == 0)) || fail "the server ended with status $status"

for shown in rows:README.md main:client/README.md rank:client/README.md device_rank:client/cuda/README.md; do
  example=${shown%%:*} readme=$source_dir/${shown#*:}
  if [[ ! -f $readme ]]; then
    echo "${shown#*:} is missing: not checked that it shows tests/install/$example.cc"
    continue
  fi
  # Without the license line.
  code=$(sed 1d "$source_dir/tests/install/$example.cc")
  [[ $(<"$readme") == *"$code"* ]] || fail "${shown#*:} must show an exact copy of tests/install/$example.cc"
done
echo "the READMEs show the examples"
