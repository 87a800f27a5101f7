// SPDX-License-Identifier: Apache-2.0
#include <tensorferry/client.h>

#include <iostream>

// example SERVER MODEL TENSOR: prints the tensor's dtype, shape and first bytes.
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto client = tensorferry::Client::Connect({argv[1]});
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  const auto tensor = client->FetchTensor(argv[2], argv[3]);
  if (!tensor.ok()) return std::cerr << tensor.status() << '\n', 1;

  std::cout << tensorferry::DtypeName(tensor->dtype()) << " [ ";
  for (const auto size : tensor->shape()) std::cout << size << ' ';
  std::cout << ']' << std::hex;
  const auto data = tensor->data();
  for (std::size_t i = 0; i < data.size() && i < 8; ++i) {
    std::cout << ' ' << std::to_integer<int>(data[i]);
  }
  std::cout << '\n';
}
