#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# deploy/packages.sh GROUP...: installs what is missing of these groups of Debian 12 packages: build, test, bench,
# sanitizers, lint, image, container. As root, or with sudo. Does nothing, and needs neither, where all of them are there.
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
        libgrpc++-dev          # the RPCs; brings c-ares and zlib along, which its CMake package looks for
        libprotobuf-dev        # the messages
        protobuf-compiler      # protoc, which makes C++ of the contract
        protobuf-compiler-grpc # protoc's plugin for the service
        libabsl-dev            # Status, StatusOr, flat_hash_set
        libisal-dev            # crc32c
        libfmt-dev             # messages; gcc 12 has no std::format
        libspdlog-dev          # the server's log
        libssl-dev             # SHA-256 of digests
        libre2-dev             # globs in linear time
        prometheus-cpp-dev     # the metrics and their text format
        libcpp-httplib-dev     # serves them, and what Kubernetes probes
        rapidjson-dev          # headers, indexes, --json
        libcli11-dev           # flags, commands, environment
        libgoogle-perftools-dev # tcmalloc: receiving is bound by the allocator
      )
      ;;
    test)
      wanted+=(
        libgtest-dev # GoogleTest
        libgmock-dev # its matchers
        python3      # the oracles (safetensors, numpy) and a stock gRPC client
        python3-venv # keeps them under build/
        openssl      # the certificates of the TLS tests
      )
      ;;
    bench)
      wanted+=(
        nginx-light     # the peer that sends ranges of files
        libsimdjson-dev # the peer of the JSON benchmark
        iproute2        # gives them a network of their own
        python3-venv    # keeps the suite's packages, Arrow Flight among them, under build/
        openssl         # the certificates of the workloads over TLS
        util-linux-extra # fincore: whether a file is in the page cache
      )
      ;;
    sanitizers)
      wanted+=(
        clang              # the presets asan, tsan and fuzz; with sanitizers gcc takes three times as long
        libclang-rt-14-dev # the sanitizers' and libFuzzer's runtime libraries
      )
      ;;
    lint)
      wanted+=(
        clang-format # .clang-format
        git          # which files are ours
        shellcheck   # the scripts
        prometheus   # promtool, for metrics and alerts; 115 MB and a service that nobody asked for, so not for all tests
      )
      ;;
    image)
      wanted+=(
        ca-certificates # the authorities that --tls trusts
      )
      ;;
    container)
      wanted+=(
        buildah         # makes the image
        podman          # runs it
        runc            # what podman starts containers with; crun needs newer cgroups
        iproute2        # the network between the container and the client
        ca-certificates # goes into the image
      )
      ;;
    *) fail "there is no group of packages \"$1\"" ;;
  esac
}

# Runs apt-get; quietly when nobody watches, with what it said if it fails.
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

# Prints those of the packages that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    if [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then echo "$package"; fi
  done
}

# Whether the package lists know all of the packages.
are_known() {
  local package
  for package in "$@"; do
    if [[ -z $(apt-cache --quiet=2 show --no-all-versions "$package" 2>/dev/null) ]]; then return 1; fi
  done
}

if (($# == 0)); then fail "say which groups: build, test, bench, sanitizers, lint, image, container"; fi
wanted=()
for group in "$@"; do add_group "$group"; done
if ! command -v dpkg-query apt-get >/dev/null; then
  fail "this is not a Debian system: install the equivalents of: ${wanted[*]}"
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
if ((${#missing[@]} == 0)); then exit; fi
if ((EUID != 0)) && ! command -v sudo >/dev/null; then
  fail "must be root, or have sudo, to install: ${missing[*]}"
fi

printf 'Installing Debian packages: %s\n' "${missing[*]}"
updated=
if ! are_known "${missing[@]}"; then
  apt_get update || fail "apt-get update failed: is the network there?"
  updated=yes
  are_known "${missing[@]}" || fail "not all of these packages are to be had: ${missing[*]}
This needs Debian 12 (bookworm); here is $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release)"
fi
if apt_get install --no-install-recommends "${missing[@]}"; then exit; fi
# Old lists name versions that the mirror no longer has.
if [[ -n $updated ]] || ! apt_get update ||
  ! apt_get install --no-install-recommends "${missing[@]}"; then
  fail "cannot install: ${missing[*]} (what apt-get said stands above)"
fi
