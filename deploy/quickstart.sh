#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
# Names of models and tensors are bytes to this script; messages of programs are in English.
export LC_ALL=C

usage() {
  cat <<'END'
usage: deploy/quickstart.sh [DIR] [--once]

On a bare Debian 12: installs what the build needs (as root, or with sudo), builds tensorferry, serves the safetensors
files in DIR on this machine only, lists them, fetches a tensor and a slice and compares them with the file. The server
then runs until Ctrl-C.

  DIR      the directory to serve; without it, a sample model that is made for the purpose and removed at the end
  --once   end when everything was verified
  --help   print this

TENSORFERRYD_LISTEN is the address to serve on, host:port or unix:PATH; default: 127.0.0.1:0, a port that is free.
END
}

fail() {
  printf 'quickstart: %s\n' "$*" >&2
  exit 1
}

step() { printf '\n== %s\n' "$*"; }

# The words as one would type them.
typed() {
  local word line=
  for word in "$@"; do
    if [[ ! $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then word=${word@Q}; fi
    line+=" $word"
  done
  printf '%s' "${line# }"
}

# Shows a command, and runs it.
run() {
  printf '$ %s\n' "$(typed "$@")"
  "$@"
}

# The words, after a -- if one of them would pass for an option, into `operands`.
set_operands() {
  operands=("$@")
  local word
  for word in "$@"; do
    if [[ $word == -* ]]; then operands=(-- "$@"); fi
  done
}

# Decodes what stands between the quotes of a JSON string that our client printed, into `decoded`: newlines at its end
# would not survive a command substitution.
decode_json() {
  local text=$1
  text=${text//"\\\\"/"\\x5c"}
  text=${text//'\"'/'"'}
  printf -v decoded '%b' "$text"
}

directory=
once=
for argument in "$@"; do
  case "$argument" in
    --once) once=yes ;;
    --help | -h)
      usage
      exit
      ;;
    -*)
      usage >&2
      exit 2
      ;;
    *)
      if [[ -n $directory ]]; then
        usage >&2
        exit 2
      fi
      directory=$argument
      ;;
  esac
done
if [[ -n $directory ]]; then
  [[ -d $directory ]] || fail "there is no directory ${directory@Q}"
  directory=$(cd -- "$directory" && pwd && echo .)
  directory=${directory%$'\n.'}
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

server_pid=
scratch=
clean_up() {
  local status=$?
  trap - EXIT INT TERM HUP
  if [[ -n $server_pid ]] && kill -TERM "$server_pid" 2>/dev/null; then
    # A second Ctrl-C does not wait for running streams.
    trap 'kill -TERM "$server_pid" 2>/dev/null || true' INT TERM HUP
    while kill -0 "$server_pid" 2>/dev/null; do wait "$server_pid" || true; done
  fi
  if [[ -n $scratch ]]; then rm -rf "$scratch"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
scratch=$(mktemp -d "${TMPDIR:-/tmp}/tensorferry-quickstart.XXXXXX")

step "Packages"
deploy/packages.sh build
echo "What the build needs is installed."

step "Build"
# The tests share the build directory, and what they need is not installed here: a new one leaves them out, tests/run.sh
# turns them on.
definitions=()
if [[ ! -f build/release/build.ninja ]]; then
  definitions=(-DTENSORFERRY_BUILD_TESTS=OFF -DTENSORFERRY_BUILD_BENCHMARKS=OFF)
fi
deploy/build.sh release "${definitions[@]}" tensorferry tensorferryd tensorferry_sample_model
programs=build/release/bin

if [[ -z $directory ]]; then
  step "Sample model"
  directory=$scratch/models
  run "$programs/tensorferry_sample_model" "$directory/sample"
fi

step "Serve"
listen=${TENSORFERRYD_LISTEN:-127.0.0.1:0}
serve=("$programs/tensorferryd" --root "$directory" --listen "$listen" --admin-listen off --lame-duck 0 --drain-timeout 5)
printf '$ %s\n' "$(typed "${serve[@]}")"
"${serve[@]}" >"$scratch/address" </dev/null &
server_pid=$!
next_line=10
SECONDS=0
until server=$(sed -n 's/^tensorferryd listening on //p' "$scratch/address") && [[ -n $server ]]; do
  if ! kill -0 "$server_pid" 2>/dev/null; then
    wait "$server_pid" || true
    server_pid=
    fail "the server ended: what it said stands above"
  fi
  sleep 0.1
  if ((SECONDS >= next_line)); then
    echo "  $SECONDS s: the server still reads the headers under $directory"
    next_line=$((SECONDS + 10))
  fi
done
echo "The server listens on $server"
export TENSORFERRY_SERVER=$server

step "List"
client=$programs/tensorferry
run "$client" ls
# Our client prints one line of JSON, its fields always in this order, and quotes within strings escaped.
string='"(([^"\]|\\.)*)"'
"$client" ls --json >"$scratch/models.json"
fact="\{\"name\":$string,\"ready\":true,\"generation\":$string,\"tensor_count\":[1-9]"
entry=$(grep -aoE "$fact" "$scratch/models.json" | sed -n 1p) || fail "there is no model with a tensor under ${directory@Q} that can be served"
[[ $entry =~ ^\{\"name\":$string ]]
decode_json "${BASH_REMATCH[1]}"
model=$decoded

echo
set_operands "$model"
printf '$ %s\n' "$(typed "$client" ls "${operands[@]}")"
"$client" ls -- "$model" >"$scratch/tensors.txt"
head -n 12 "$scratch/tensors.txt"
lines=$(wc -l <"$scratch/tensors.txt")
if ((lines > 12)); then echo "... and $((lines - 12)) more"; fi

"$client" ls --json -- "$model" >"$scratch/tensors.json"
fact="\{\"name\":$string,\"dtype\":$string,\"shape\":\[([0-9,]*)\],\"size_bytes\":([0-9]+),"
fact+="\"file\":$string,\"file_offset\":([0-9]+)\}"
entry=$(grep -aoE "$fact" "$scratch/tensors.json" | sed -n 1p)
[[ $entry =~ ^$fact$ ]]
name=${BASH_REMATCH[1]}
IFS=, read -ra shape <<<"${BASH_REMATCH[5]}"
size_bytes=${BASH_REMATCH[6]}
file=${BASH_REMATCH[7]}
file_offset=${BASH_REMATCH[9]}
decode_json "$name"
tensor=$decoded
decode_json "$file"
# The model is the root, a directory or the file itself.
path=$directory
if [[ $model != . ]]; then path+=/$model; fi
if [[ -d $path ]]; then path+=/$decoded; fi
[[ -f $path ]] || fail "the server speaks of ${path@Q}, but there is no such file"

# verify SIZE OFFSET ARGUMENT...: compares what the client gets with the file's bytes from OFFSET on.
verify() {
  local size=$1 offset=$2 got
  shift 2
  local -a get=("$client" get -o - "$@")
  local -a compare=(cmp --bytes="$size" --ignore-initial="0:$offset" - "$path")
  printf '$ %s | %s\n' "$(typed "${get[@]}")" "$(typed "${compare[@]}")"
  # The bytes are counted on their way, for cmp is content with fewer than it may compare at the end of the file.
  if ! "${get[@]}" | tee >(wc -c >"$scratch/count") | "${compare[@]}"; then
    fail "what was fetched is not what stands in ${path@Q} from byte $offset on"
  fi
  # The process substitution may still be writing.
  until [[ -s $scratch/count ]]; do sleep 0.05; done
  got=$(<"$scratch/count")
  rm "$scratch/count"
  ((got == size)) || fail "$got bytes were fetched, not $size"
  echo "OK: $size bytes, the same as in the file from byte $offset on"
}

step "Fetch a tensor"
set_operands "$model" "$tensor"
verify "$size_bytes" "$file_offset" "${operands[@]}"

step "Fetch a slice of it"
# Rows are contiguous in the file. Those of a dtype narrower than a byte may not begin on one: then all are taken.
rows=${shape[0]:-0}
if ((rows > 0 && size_bytes % rows == 0)); then
  first=$((rows / 4))
  count=$((rows / 2 > 0 ? rows / 2 : 1))
  row_bytes=$((size_bytes / rows))
  verify "$((count * row_bytes))" "$((file_offset + first * row_bytes))" \
    --slice "[$first:$((first + count))]" "${operands[@]}"
else
  verify "$size_bytes" "$file_offset" --slice '[]' "${operands[@]}"
fi

step "Done"
cat <<END
Served $(typed "$directory") on $server, listed its models, and fetched the tensor
$(typed "$tensor") and a slice of it: both are the file's bytes.
END
if [[ -n $once ]]; then exit; fi
tensor_operands=("${operands[@]}")
set_operands "$model"
cat <<END

The server runs until Ctrl-C. In another terminal, for example:

  cd $(typed "$PWD")
  export TENSORFERRY_SERVER=$(typed "$server")
  $client ls
  $client info $(typed "${operands[@]}")
  $client get -o tensor.safetensors $(typed "${tensor_operands[@]}")
  $client pull $(typed "${operands[@]}") copy-of-the-model
  $client bench $(typed "${operands[@]}")
END
trap 'echo; echo "Stopping the server"; exit 0' INT TERM HUP
wait "$server_pid" || true
server_pid=
echo "quickstart: the server ended by itself" >&2
false
