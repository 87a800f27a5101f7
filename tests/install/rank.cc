// SPDX-License-Identifier: Apache-2.0
#include <tensorferry/client.h>

#include <iostream>

namespace tf = tensorferry;

// rank SERVER MODEL RANK WORLD_SIZE: fetches the shards of one rank, and reports each of them.
int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const auto client = tf::Client::Connect({argv[1]});
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  const auto tensors = client->ListTensors(argv[2]);
  if (!tensors.ok()) return std::cerr << tensors.status() << '\n', 1;

  std::vector<std::vector<std::byte>> data(tensors->size());
  std::vector<tf::Read> reads;
  for (std::size_t i = 0; i < tensors->size(); ++i) {
    const auto& tensor = (*tensors)[i];
    const auto allocate = [&data, i](const tf::ReadResult& result) {
      data[i].resize(result.size_bytes);
      return tf::Destination(data[i]);
    };
    reads.push_back({.tensor = tensor.name, .into = tf::Destination::Deferred(allocate)});
    if (tensor.shape.size() != 2) continue;  // replicated; of matrices, rows and columns in turn
    reads[i].slice = tf::Shard(tensor.shape, i % 2, std::stoi(argv[3]), std::stoi(argv[4]));
  }
  const auto done = [&](auto i) { std::cout << reads[i].tensor << ' ' << data[i].size() << '\n'; };
  auto fetch = client->StartFetch(argv[2], reads, {.on_read_done = done});  // returns at once
  if (const auto status = fetch.Wait(); !status.ok()) return std::cerr << status << '\n', 1;
}
