// SPDX-License-Identifier: Apache-2.0
#include <tensorferry/client.h>

#include <iostream>

namespace tf = tensorferry;

// rows SERVER MODEL TENSOR: fetches the first 64 rows of a matrix into memory of this program.
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto client = tf::Client::Connect({argv[1]});
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  const auto tensor = client->GetTensorInfo(argv[2], argv[3]);
  if (!tensor.ok()) return std::cerr << tensor.status() << '\n', 1;

  std::vector<std::byte> memory(64 * tensor->size_bytes / tensor->shape.at(0));
  const tf::SliceSpec rows{{tf::Range{0, 64}}};  // or SliceSpec::Parse("[0:64]")
  const tf::Read read = {.tensor = argv[3], .slice = rows, .into = memory};
  const auto show = [](auto p) { std::cout << p.bytes_done << '/' << p.bytes_total << '\n'; };
  const tf::FetchOptions options = {.timeout = absl::Seconds(30), .on_progress = show};
  const auto done = client->Fetch(argv[2], {&read, 1}, options);
  if (!done.ok()) return std::cerr << done.status() << '\n', 1;
}
