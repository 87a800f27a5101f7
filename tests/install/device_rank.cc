// SPDX-License-Identifier: Apache-2.0
#include <tensorferry/client.h>
#include <tensorferry/cuda.h>
#include <tensorferry/slice_plan.h>

#include <cstdlib>
#include <iostream>

// device_rank SERVER MODEL TENSOR RANK RANKS: fetches one rank's rows of a matrix to cuda:RANK.
int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const int rank = std::atoi(argv[4]);
  const int ranks = std::atoi(argv[5]);
  const auto device = tensorferry::CudaDevice::Open(rank);
  if (!device.ok()) return std::cerr << device.status() << '\n', 1;
  const auto client = tensorferry::Client::Connect({argv[1]});
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  const auto tensor = client->GetTensorInfo(argv[2], argv[3]);
  if (!tensor.ok()) return std::cerr << tensor.status() << '\n', 1;

  const auto slice = tensorferry::Shard(tensor->shape, /*dimension=*/0, rank, ranks);
  const auto plan = tensorferry::SlicePlan::Create(slice, tensor->dtype, tensor->shape);
  if (!plan.ok()) return std::cerr << plan.status() << '\n', 1;
  const auto memory = device->Allocate(plan->size_bytes());  // or torch.empty(...).data_ptr()
  if (!memory.ok()) return std::cerr << memory.status() << '\n', 1;
  const auto span = device->Span(memory->data(), memory->size_bytes());
  const tensorferry::Read read = {.tensor = argv[3], .slice = slice, .into = span};
  const auto fetched = client->Fetch(argv[2], {&read, 1});
  if (!fetched.ok()) return std::cerr << fetched.status() << '\n', 1;
  std::cout << memory->size_bytes() << " bytes are on cuda:" << rank << '\n';
}
