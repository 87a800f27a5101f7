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
#include "client/link.h"
#include "client/retry_loop.h"
#include "client/unary_call.h"
#include "lib/wire/proto_conversion.h"
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
  Impl(const std::vector<std::string>& addresses, const ClientOptions& options,
       const std::shared_ptr<const Credentials>& credentials)
      : retry_{RetryPolicy(options.retry)} {
    const auto dial = [credentials](const std::string& address) {
      return std::make_shared<Connection>(address, credentials);
    };
    for (int i = 0; i < options.connections; ++i) {
      links_.push_back(std::make_unique<Link>(addresses, static_cast<std::size_t>(i), dial));
    }
  }

  int connections() const { return static_cast<int>(links_.size()); }

  // Finds a server that answers, in one round. Errors: what the last one asked said.
  absl::Status Probe(absl::Duration timeout) {
    const absl::Time deadline = DeadlineOf({.timeout = timeout});
    for (std::size_t left = links_.front()->address_count(); true; --left) {
      const std::shared_ptr<Connection> connection = links_.front()->Current();
      // One that does not answer must leave time for those behind it.
      const absl::Duration share =
          left == 1 ? timeout : absl::Trunc((deadline - absl::Now()) / left, absl::Milliseconds(1));
      const absl::Status status = ProbeOnce(*connection, share, std::min(absl::Now() + share, deadline));
      if (status.ok() || left == 1) return status;
      links_.front()->MoveOn(connection, status);
    }
  }

  // Calls a unary method on the first link.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(UnaryMethod<Request, Response> method, const Request& request, absl::Time deadline,
                                const CallOptions& options) {
    return CallWithRetry(*links_.front(), retry_, method, request, deadline, options);
  }

  absl::StatusOr<FetchResult> Fetch(std::vector<Lane> lanes, std::size_t read_count, std::string_view fingerprint,
                                    const FetchOptions& options) {
    return FetchOperation(links_, std::move(lanes), read_count, std::string(fingerprint), options, retry_).Run();
  }

 private:
  static absl::Status ProbeOnce(Connection& connection, absl::Duration timeout, absl::Time deadline) {
    // A call, because only that tells a refused connection from one that takes its time, and ours from another server.
    v1::ListModelsRequest request;
    request.set_page_size(1);
    const absl::Status status =
        CallOnce(connection, &v1::TensorService::Stub::ListModels, request, deadline, {}).status();
    if (!absl::IsDeadlineExceeded(status)) return status;
    return WithAddress(connection,
                       absl::UnavailableError(fmt::format("no answer within {}", absl::FormatDuration(timeout))));
  }

  const Retry retry_;
  std::vector<std::unique_ptr<Link>> links_;
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
  if (absl::Status status = RetryPolicy::Validate(options.retry); !status.ok()) return status;
  const absl::StatusOr<std::vector<std::string>> addresses = ParseAddresses(address);
  if (!addresses.ok()) return addresses.status();
  const absl::StatusOr<std::shared_ptr<const Credentials>> credentials =
      MakeCredentials(options.tls, options.token, options.proxy_from_environment);
  if (!credentials.ok()) return credentials.status();
  Client client(std::make_unique<Impl>(*addresses, options, *credentials));
  if (absl::Status status = client.impl_->Probe(options.connect_timeout); !status.ok()) return status;
  return client;
}

absl::StatusOr<std::vector<ModelInfo>> Client::ListModels(const CallOptions& options) const {
  const absl::Time deadline = DeadlineOf(options);
  std::vector<ModelInfo> models;
  v1::ListModelsRequest request;
  do {
    const auto page = impl_->Call(&v1::TensorService::Stub::ListModels, request, deadline, options);
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
    const auto page = impl_->Call(&v1::TensorService::Stub::ListTensors, request, deadline, options);
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
  const auto answer = impl_->Call(&v1::TensorService::Stub::GetMetadata, request, DeadlineOf(options), options);
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
  const auto answer = impl_->Call(&v1::TensorService::Stub::GetMetadata, request, DeadlineOf(options), options);
  if (!answer.ok()) return answer.status();
  return wire::FromProto(answer->tensor());
}

absl::StatusOr<FetchResult> Client::Fetch(std::string_view model, std::span<const Read> reads,
                                          const FetchOptions& options) const {
  absl::StatusOr<std::vector<Lane>> lanes = PlanFetch(model, options.generation, reads, impl_->connections());
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
  // A tensor may be larger than memory, which must not end the program.
  std::unique_ptr<std::byte[]> data(new (std::nothrow) std::byte[static_cast<std::size_t>(size)]);
  if (data == nullptr) {
    return absl::ResourceExhaustedError(
        fmt::format("tensor {}: there is no memory for its {} bytes", Quote(tensor), size));
  }
  HostDestination destination(std::span(data.get(), static_cast<std::size_t>(size)));
  const Read read{.tensor = std::string(tensor), .slice = slice, .destination = &destination};
  FetchOptions remaining = options;
  remaining.timeout = deadline - absl::Now();
  absl::StatusOr<FetchResult> result = Fetch(model, std::span(&read, 1), remaining);
  if (!result.ok()) return result.status();
  return Tensor(std::move(result->reads.front()), std::move(data));
}

absl::Status Client::FetchFile(std::string_view model, std::string_view file, std::string_view fingerprint,
                               std::int64_t offset, Destination& destination, const FetchOptions& options) const {
  FetchOptions remaining = options;
  if (destination.size_bytes() == 0) {
    // A server that is asked for 0 bytes sends the rest of the file, which is nothing only at its end.
    const absl::Time deadline = DeadlineOf(options);
    const absl::StatusOr<ModelMetadata> metadata = GetMetadata(model, options);
    if (!metadata.ok()) return metadata.status();
    const auto found = std::ranges::find(metadata->files, file, &FileInfo::name);
    if (found != metadata->files.end() && offset >= 0) offset = std::max(offset, found->size_bytes);
    remaining.generation = metadata->model.generation;
    remaining.timeout = deadline - absl::Now();
  }
  std::vector<Lane> lanes(1);
  lanes.front().push_back(PlanFileFetch(model, file, remaining.generation, offset, destination));
  return impl_->Fetch(std::move(lanes), 1, fingerprint, remaining).status();
}

}  // namespace tensorferry
