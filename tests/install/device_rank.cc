// SPDX-License-Identifier: Apache-2.0
#include <tensorferry/client.h>
#include <tensorferry/cuda.h>

#include <cstdlib>
#include <iostream>

// device_rank SERVER MODEL TENSOR RANK RANKS: fills memory of the GPU cuda:RANK with this rank's rows of a matrix.
int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const int rank = std::atoi(argv[4]);
  const int ranks = std::atoi(argv[5]);
  const auto device = tensorferry::CudaDevice::Open(rank);
  if (!device.ok()) return std::cerr << device.status() << '\n', 1;
  const auto client = tensorferry::Client::Connect(argv[1]);
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  const auto tensor = client->GetTensorInfo(argv[2], argv[3]);
  if (!tensor.ok()) return std::cerr << tensor.status() << '\n', 1;
  if (tensor->shape.empty() || tensor->shape[0] % ranks != 0) return std::cerr << "the rows cannot be shared out\n", 1;

  const auto rows = tensor->shape[0] / ranks;
  const auto memory = device->Allocate(tensor->size_bytes / ranks);  // or torch.empty(...).data_ptr()
  if (!memory.ok()) return std::cerr << memory.status() << '\n', 1;
  auto destination = tensorferry::CudaDestination::Create(*device, memory->data(), memory->size_bytes());
  if (!destination.ok()) return std::cerr << destination.status() << '\n', 1;
  const tensorferry::SliceSpec slice{{tensorferry::Range{rank * rows, (rank + 1) * rows}}};
  const tensorferry::Read reads[] = {{argv[3], slice, &*destination}};
  const auto fetched = client->Fetch(argv[2], reads);
  if (!fetched.ok()) return std::cerr << fetched.status() << '\n', 1;
  std::cout << memory->size_bytes() << " bytes are on cuda:" << rank << '\n';
}
