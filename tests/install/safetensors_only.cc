// SPDX-License-Identifier: Apache-2.0
#include <tensorferry/safetensors/model.h>

#include <cstddef>
#include <iostream>

// safetensors_only PATH: prints the names of a model's tensors, without any network.
int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto model = tensorferry::Model::Open(argv[1]);
  if (!model.ok()) return std::cerr << model.status() << '\n', 1;
  for (std::size_t i = 0; i < (*model)->tensor_count(); ++i) std::cout << (*model)->tensor(i).view.name << '\n';
}
