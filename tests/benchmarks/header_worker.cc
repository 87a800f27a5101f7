// SPDX-License-Identifier: Apache-2.0
//
// header_worker FILE: opens a safetensors file and validates its header on each command of suite.py.
#include <cstdio>
#include <string>

#include "tensorferry/safetensors/file.h"
#include "tests/benchmarks/worker.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: header_worker FILE\n", stderr);
    return 2;
  }
  const std::string path = argv[1];
  return tensorferry::benchmarks::ServeRuns(0, [&](std::span<std::byte>, std::vector<double>&) -> std::string {
    const auto file = tensorferry::SafetensorsFile::Open(path);
    return file.ok() ? std::string() : std::string(file.status().message());
  });
}
