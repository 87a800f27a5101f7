#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
# Names of models and tensors are bytes in this script. Messages of programs are in English.
export LC_ALL=C

usage() {
  cat <<'END'
usage: deploy/quickstart.sh [DIR] [--once]

On a bare Debian 12: installs the packages that the build needs, builds tensorferry, serves DIR on this machine only,
lists the models, fetches a tensor and a slice, and compares both with the file. The server then runs until Ctrl-C.
Installing needs root or sudo. Safe to run again: it installs and builds only what is missing.

  DIR      Directory of safetensors files to serve (default a sample model, removed at the end).
  --once   Stop the server and exit after the comparison.
  --help   Print this help and exit.

TENSORFERRYD_LISTEN: address to serve on, host:port or unix:PATH (default 127.0.0.1:0, a free port).
END
}

fail() {
  printf 'quickstart: %s\n' "$*" >&2
  exit 1
}

step() { printf '\n== %s\n' "$*"; }

# Prints the words as a user types them in a shell.
typed() {
  local word line=
  for word in "$@"; do
    if [[ ! $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then word=${word@Q}; fi
    line+=" $word"
  done
  printf '%s' "${line# }"
}

# Prints a command and runs it.
run() {
  printf '$ %s\n' "$(typed "$@")"
  "$@"
}

# Puts the words into `operands`, after a -- if one of them looks like a flag.
set_operands() {
  operands=("$@")
  local word
  for word in "$@"; do
    if [[ $word == -* ]]; then operands=(-- "$@"); fi
  done
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
  [[ -d $directory ]] || fail "no directory ${directory@Q}"
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
echo "All packages that the build needs are installed."

step "Build"
# tests/run.sh uses the same build directory. A new directory is configured without the tests, because the packages that
# they need are not installed here. tests/run.sh turns the tests on.
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
    fail "the server ended; its messages are above"
  fi
  sleep 0.1
  if ((SECONDS >= next_line)); then
    echo "  $SECONDS s: the server is reading the headers under $directory"
    next_line=$((SECONDS + 10))
  fi
done
echo "The server listens on $server"
export TENSORFERRY_SERVER=$server

step "List"
client=$programs/tensorferry
run "$client" ls
# Lines of NAME STATE TENSORS FILES BYTES, with tabs between the fields. Names with a backslash are escaped: skip them.
"$client" ls --tsv >"$scratch/models.tsv"
model=$(awk -F '\t' '$2 == "ready" && $3 > 0 && $1 !~ /\\/ { print $1; exit }' "$scratch/models.tsv")
[[ -n $model ]] || fail "no model under ${directory@Q} is ready and has a tensor"

echo
set_operands "$model"
printf '$ %s\n' "$(typed "$client" ls "${operands[@]}")"
"$client" ls -- "$model" >"$scratch/tensors.txt"
head -n 12 "$scratch/tensors.txt"
lines=$(wc -l <"$scratch/tensors.txt")
if ((lines > 12)); then echo "... and $((lines - 12)) more"; fi

# Lines of NAME DTYPE SHAPE BYTES FILE OFFSET.
"$client" ls --tsv -- "$model" >"$scratch/tensors.tsv"
mapfile -t fields < <(awk -F '\t' '$1 !~ /\\/ && $5 !~ /\\/ { print; exit }' "$scratch/tensors.tsv" | tr '\t' '\n')
((${#fields[@]} == 6)) || fail "all tensors of model ${model@Q} have names with unusual characters"
tensor=${fields[0]}
IFS=, read -ra shape <<<"${fields[2]}"
size_bytes=${fields[3]}
file=${fields[4]}
file_offset=${fields[5]}
# A model is the root itself, a directory or a file.
path=$directory
if [[ $model != . ]]; then path+=/$model; fi
if [[ -d $path ]]; then path+=/$file; fi
[[ -f $path ]] || fail "the server names the file ${path@Q}, which does not exist"

# verify SIZE OFFSET ARGUMENT...: fetches with `get ARGUMENT...` and compares the result with SIZE bytes of the file
# from OFFSET.
verify() {
  local size=$1 offset=$2 got
  shift 2
  local -a get=("$client" get -o - "$@")
  local -a compare=(cmp --bytes="$size" --ignore-initial="0:$offset" - "$path")
  printf '$ %s | %s\n' "$(typed "${get[@]}")" "$(typed "${compare[@]}")"
  # Count the bytes, too: cmp succeeds if it gets fewer bytes at the end of the file.
  if ! "${get[@]}" | tee >(wc -c >"$scratch/count") | "${compare[@]}"; then
    fail "the fetched bytes differ from ${path@Q} from byte $offset"
  fi
  # The process substitution may still be writing.
  until [[ -s $scratch/count ]]; do sleep 0.05; done
  got=$(<"$scratch/count")
  rm "$scratch/count"
  ((got == size)) || fail "fetched $got bytes, expected $size"
  echo "OK: $size bytes, equal to the file from byte $offset"
}

step "Fetch a tensor"
set_operands "$model" "$tensor"
verify "$size_bytes" "$file_offset" "${operands[@]}"

step "Fetch a slice of it"
# Rows are contiguous in the file. Rows of a dtype narrower than a byte may begin inside a byte: then fetch all of them.
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
$(typed "$tensor") and a slice of it. Both are equal to the bytes of the file.
END
if [[ -n $once ]]; then exit; fi
tensor_operands=("${operands[@]}")
set_operands "$model"
cat <<END

The server runs until Ctrl-C. Try in another terminal:

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
echo "quickstart: the server ended unexpectedly; its messages are above" >&2
false
