// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "client/connection.h"
#include "client/connection_hint.h"
#include "client/credentials.h"
#include "client/fetch_operation.h"
#include "client/fetch_plan.h"
#include "lib/wire/proto_conversion.h"
#include "lib/wire/status_conversion.h"
#include "tensorferry/quote.h"
#include "tensorferry/tensor/slice_plan.h"

namespace tensorferry {
namespace {

constexpr int kMaxConnections = 64;

ModelInfo FromProto(const v1::Model& model) {
  return {.name = model.name(),
          .ready = model.state() == v1::MODEL_STATE_READY,
          .reason = model.state_reason(),
          .generation = model.generation(),
          .tensor_count = model.tensor_count(),
          .file_count = model.file_count(),
          .size_bytes = model.size_bytes()};
}

FileInfo FromProto(const v1::ModelFile& file) {
  FileInfo info{.name = file.name(),
                .kind = FileInfo::Kind::kCompanion,
                .size_bytes = file.size_bytes(),
                .fingerprint = file.fingerprint(),
                .metadata = {file.metadata().begin(), file.metadata().end()}};
  if (file.kind() == v1::FILE_KIND_SAFETENSORS) info.kind = FileInfo::Kind::kSafetensors;
  if (file.kind() == v1::FILE_KIND_INDEX) info.kind = FileInfo::Kind::kIndex;
  return info;
}

}  // namespace

class Client::Impl {
 public:
  Impl(std::string address, int connections, std::shared_ptr<const Credentials> credentials)
      : address_(std::move(address)), credentials_(std::move(credentials)) {
    for (int i = 0; i < connections; ++i) connections_.push_back(std::make_unique<Connection>(address_, credentials_));
  }

  std::span<const std::unique_ptr<Connection>> connections() const { return connections_; }

  // Calls a unary method on the first connection.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::TensorService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                Response*),
                                const Request& request, absl::Time deadline, const std::stop_token& stop_token) {
    CallContext context(deadline, stop_token);
    if (absl::Status status = connections_.front()->Authorize(context.grpc()); !status.ok()) return status;
    Response response;
    const grpc::Status status = (connections_.front()->stub().*method)(&context.grpc(), request, &response);
    if (!status.ok()) return WithAddress(wire::FromGrpc(status));
    return response;
  }

  absl::StatusOr<FetchResult> Fetch(std::vector<Lane> lanes, std::size_t read_count, std::string_view fingerprint,
                                    const FetchOptions& options) {
    FetchOperation operation(connections_, std::move(lanes), read_count, std::string(fingerprint), options);
    absl::StatusOr<FetchResult> result = operation.Run();
    return result.ok() ? std::move(result) : WithAddress(result.status());
  }

  // An error that is about the server and not about what was asked says which server.
  absl::Status WithAddress(const absl::Status& status) const {
    if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status) && !absl::IsUnimplemented(status)) {
      return status;
    }
    const std::string message(status.message());
    return absl::Status(status.code(), fmt::format("server {}: {}{}", Quote(address_), message,
                                                   ConnectionHint(message, credentials_->encrypted)));
  }

 private:
  const std::string address_;
  const std::shared_ptr<const Credentials> credentials_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

absl::StatusOr<Client> Client::Connect(std::string_view address, const ClientOptions& options) {
  if (options.connections < 1 || options.connections > kMaxConnections) {
    return absl::InvalidArgumentError(
        fmt::format("connections is {}, it must be from 1 to {}", options.connections, kMaxConnections));
  }
  absl::StatusOr<std::shared_ptr<const Credentials>> credentials = MakeCredentials(options.tls, options.token);
  if (!credentials.ok()) return credentials.status();
  Client client(std::make_unique<Impl>(std::string(address), options.connections, *std::move(credentials)));
  // A call, because only that tells a refused connection from one that takes its time, and ours from another server.
  v1::ListModelsRequest request;
  request.set_page_size(1);
  const auto answer = client.impl_->Call(&v1::TensorService::Stub::ListModels, request,
                                         DeadlineOf({.timeout = options.connect_timeout}), {});
  if (answer.ok()) return client;
  if (absl::IsDeadlineExceeded(answer.status())) {
    return absl::UnavailableError(
        fmt::format("server {}: no answer within {}", Quote(address), absl::FormatDuration(options.connect_timeout)));
  }
  return answer.status();
}

absl::StatusOr<std::vector<ModelInfo>> Client::ListModels(const CallOptions& options) const {
  const absl::Time deadline = DeadlineOf(options);
  std::vector<ModelInfo> models;
  v1::ListModelsRequest request;
  do {
    const auto page = impl_->Call(&v1::TensorService::Stub::ListModels, request, deadline, options.stop_token);
    if (!page.ok()) return page.status();
    for (const v1::Model& model : page->models()) models.push_back(FromProto(model));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return models;
}

absl::StatusOr<std::vector<TensorInfo>> Client::ListTensors(std::string_view model, const TensorFilter& filter,
                                                            const CallOptions& options) const {
  const absl::Time deadline = DeadlineOf(options);
  std::vector<TensorInfo> tensors;
  v1::ListTensorsRequest request;
  request.set_model(std::string(model));
  request.set_generation(options.generation);
  request.set_prefix(filter.prefix);
  request.set_glob(filter.glob);
  do {
    const auto page = impl_->Call(&v1::TensorService::Stub::ListTensors, request, deadline, options.stop_token);
    if (!page.ok()) return page.status();
    for (const v1::Tensor& tensor : page->tensors()) {
      absl::StatusOr<TensorInfo> info = wire::FromProto(tensor);
      if (!info.ok()) return info.status();
      tensors.push_back(*std::move(info));
    }
    request.set_page_token(page->next_page_token());
    request.set_generation(page->generation());
  } while (!request.page_token().empty());
  return tensors;
}

absl::StatusOr<ModelMetadata> Client::GetMetadata(std::string_view model, const CallOptions& options) const {
  v1::GetMetadataRequest request;
  request.set_model(std::string(model));
  request.set_generation(options.generation);
  const auto answer =
      impl_->Call(&v1::TensorService::Stub::GetMetadata, request, DeadlineOf(options), options.stop_token);
  if (!answer.ok()) return answer.status();
  ModelMetadata metadata{.model = FromProto(answer->model()), .files = {}};
  for (const v1::ModelFile& file : answer->files()) metadata.files.push_back(FromProto(file));
  return metadata;
}

absl::StatusOr<TensorInfo> Client::GetTensorInfo(std::string_view model, std::string_view tensor,
                                                 const CallOptions& options) const {
  v1::GetMetadataRequest request;
  request.set_model(std::string(model));
  request.set_generation(options.generation);
  request.set_tensor(std::string(tensor));
  const auto answer =
      impl_->Call(&v1::TensorService::Stub::GetMetadata, request, DeadlineOf(options), options.stop_token);
  if (!answer.ok()) return answer.status();
  return wire::FromProto(answer->tensor());
}

absl::StatusOr<FetchResult> Client::Fetch(std::string_view model, std::span<const Read> reads,
                                          const FetchOptions& options) const {
  absl::StatusOr<std::vector<Lane>> lanes =
      PlanFetch(model, options.generation, reads, static_cast<int>(impl_->connections().size()));
  if (!lanes.ok()) return lanes.status();
  return impl_->Fetch(*std::move(lanes), reads.size(), {}, options);
}

absl::StatusOr<Tensor> Client::FetchTensor(std::string_view model, std::string_view tensor,
                                           const std::optional<SliceSpec>& slice, const FetchOptions& options) const {
  const absl::Time deadline = DeadlineOf(options);
  const absl::StatusOr<TensorInfo> info = GetTensorInfo(model, tensor, options);
  if (!info.ok()) return info.status();
  std::int64_t size = info->size_bytes;
  if (slice) {
    const absl::StatusOr<SlicePlan> plan = SlicePlan::Create(*slice, info->dtype, info->shape);
    if (!plan.ok()) {
      return absl::Status(plan.status().code(),
                          fmt::format("tensor {}: {}", Quote(tensor), std::string(plan.status().message())));
    }
    size = plan->size_bytes();
  }
  auto data = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(size));
  HostDestination destination(std::span(data.get(), static_cast<std::size_t>(size)));
  const Read read{.tensor = std::string(tensor), .slice = slice, .destination = &destination};
  FetchOptions remaining = options;
  if (deadline != absl::InfiniteFuture()) remaining.timeout = deadline - absl::Now();
  absl::StatusOr<FetchResult> result = Fetch(model, std::span(&read, 1), remaining);
  if (!result.ok()) return result.status();
  return Tensor(std::move(result->reads.front()), std::move(data));
}

absl::Status Client::FetchFile(std::string_view model, std::string_view file, std::string_view fingerprint,
                               std::int64_t offset, Destination& destination, const FetchOptions& options) const {
  std::vector<Lane> lanes(1);
  lanes.front().push_back(PlanFileFetch(model, file, options.generation, offset, destination));
  return impl_->Fetch(std::move(lanes), 1, fingerprint, options).status();
}

}  // namespace tensorferry
