#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# deploy/packages.sh GROUP...: installs the missing packages of these groups of Debian 12 packages: build, test, bench,
# sanitizers, lint, image, container. Needs root or sudo only if a package is missing.
set -euo pipefail

fail() {
  printf 'packages.sh: %s\n' "$*" >&2
  exit 1
}

# Adds the packages of a group to `wanted`.
add_group() {
  case "$1" in
    build)
      wanted+=(
        g++                    # the compiler
        cmake                  # the build
        ninja-build            # the generator that the presets name
        pkg-config             # finds isa-l, re2 and tcmalloc, which have no CMake package
        libgrpc++-dev          # the RPCs; depends on c-ares and zlib, which its CMake package needs
        libprotobuf-dev        # the messages
        protobuf-compiler      # protoc, which generates C++ from the contract
        protobuf-compiler-grpc # protoc's plugin for the service
        libabsl-dev            # Status, StatusOr, flat_hash_set
        libisal-dev            # crc32c
        libfmt-dev             # messages; gcc 12 has no std::format
        libspdlog-dev          # the server's log
        libssl-dev             # SHA-256 of digests
        libre2-dev             # globs in linear time
        prometheus-cpp-dev     # the metrics and their text format
        libcpp-httplib-dev     # the admin port: metrics and probes over HTTP
        rapidjson-dev          # headers, indexes, --json
        libcli11-dev           # flags, commands, environment
        libgoogle-perftools-dev # tcmalloc, because the allocator limits the rate of receiving
      )
      ;;
    test)
      wanted+=(
        libgtest-dev # GoogleTest
        libgmock-dev # its matchers
        python3      # the oracles (safetensors, numpy) and a stock gRPC client
        python3-venv # the Python packages of the tests, under build/
        openssl      # the certificates of the TLS tests
      )
      ;;
    bench)
      wanted+=(
        nginx-light     # peer: ranges of files over HTTP
        libsimdjson-dev # peer: the JSON benchmark
        iproute2        # separate networks for the peers
        python3-venv    # the Python packages of the suite, such as Arrow Flight, under build/
        openssl         # the certificates of the workloads over TLS
        util-linux-extra # fincore: the pages of a file in the page cache
      )
      ;;
    sanitizers)
      wanted+=(
        clang              # the presets asan, tsan and fuzz: gcc is three times slower with sanitizers
        libclang-rt-14-dev # the sanitizers' and libFuzzer's runtime libraries
      )
      ;;
    lint)
      wanted+=(
        clang-format # .clang-format
        clang-tidy   # .clang-tidy
        git          # the list of our files
        shellcheck   # the scripts
        prometheus   # promtool, for metrics and alerts; not in "test", because it is 115 MB and starts a service
      )
      ;;
    image)
      wanted+=(
        ca-certificates # the CAs that --tls trusts
      )
      ;;
    container)
      wanted+=(
        buildah         # builds the image
        podman          # runs it
        runc            # the runtime of podman here: crun needs newer cgroups
        iproute2        # the network between the container and the client
        ca-certificates # part of the image
      )
      ;;
    *) fail "no group \"$1\": give build, test, bench, sanitizers, lint, image or container" ;;
  esac
}

# Runs apt-get. If stdout is not a terminal, prints its output only if it fails.
apt_get() {
  local -a command=(env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300)
  if ((EUID != 0)); then command=(sudo "${command[@]}"); fi
  if [[ -t 1 ]]; then
    "${command[@]}" "$@"
    return
  fi
  local log status=0
  log=$(mktemp)
  "${command[@]}" -q "$@" </dev/null >"$log" 2>&1 || status=$?
  if ((status != 0)); then tail -n 30 "$log" >&2; fi
  rm -f "$log"
  return "$status"
}

# Prints the packages that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    if [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then echo "$package"; fi
  done
}

# Succeeds if all of the packages are in apt's lists.
are_known() {
  local package
  for package in "$@"; do
    if [[ -z $(apt-cache --quiet=2 show --no-all-versions "$package" 2>/dev/null) ]]; then return 1; fi
  done
}

if (($# == 0)); then fail "give groups: build, test, bench, sanitizers, lint, image, container"; fi
wanted=()
for group in "$@"; do add_group "$group"; done
if ! command -v dpkg-query apt-get >/dev/null; then
  fail "not a Debian system: install the equivalents of: ${wanted[*]}"
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
if ((${#missing[@]} == 0)); then exit; fi
if ((EUID != 0)) && ! command -v sudo >/dev/null; then
  fail "run as root or install sudo, to install: ${missing[*]}"
fi

printf 'Installing Debian packages: %s\n' "${missing[*]}"
updated=
if ! are_known "${missing[@]}"; then
  apt_get update || fail "apt-get update failed: check the network"
  updated=yes
  are_known "${missing[@]}" || fail "some of these packages are not available: ${missing[*]}
Debian 12 (bookworm) is required; this is $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release)"
fi
if apt_get install --no-install-recommends "${missing[@]}"; then exit; fi
# Old lists name versions that the mirror has deleted.
if [[ -n $updated ]] || ! apt_get update ||
  ! apt_get install --no-install-recommends "${missing[@]}"; then
  fail "cannot install: ${missing[*]} (the output of apt-get is above)"
fi
