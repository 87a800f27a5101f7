// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/served_model.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include "lib/catalog/catalog.h"

namespace tensorferry::test {
namespace {

template <typename T>
T ValueOrEnd(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::cerr << "cannot serve the model: " << value.status() << '\n';
  std::abort();
}

}  // namespace

ServedModel::ServedModel(const std::vector<TensorSpec>& tensors, Random& random) {
  std::int64_t size = 0;
  for (const TensorSpec& tensor : tensors) size += SizeBytes(tensor);
  std::string data(static_cast<std::size_t>(size), '\0');
  for (std::size_t i = 0; i < data.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t value = random.generator()();
    data.replace(i, std::min(sizeof(value), data.size() - i), reinterpret_cast<const char*>(&value),
                 std::min(sizeof(value), data.size() - i));
  }
  directory_.Write(kName, SafetensorsBytes(HeaderJson(tensors), data));
  const auto catalog = ValueOrEnd(Catalog::Load(directory_.path()));
  model_ = ValueOrEnd(catalog->Find(kName));
  server::ServerOptions options;
  options.listen = "127.0.0.1:0";
  server_ = ValueOrEnd(server::Server::Start(options, catalog));
}

Client ServedModel::Connect(int connections) const {
  return ValueOrEnd(Client::Connect({server_->address()}, {.connections = connections}));
}

std::string ServedModel::Expected(const std::string& tensor) const {
  const Model::TensorRef found = model_->tensor(*model_->Find(tensor));
  return AsString(found.file->tensors->data(found.view));
}

}  // namespace tensorferry::test
