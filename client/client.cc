// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "client/channel/automatic_connections.h"
#include "client/channel/call_error.h"
#include "client/channel/connection.h"
#include "client/channel/credentials.h"
#include "client/channel/failover_channel.h"
#include "client/channel/retry_loop.h"
#include "client/channel/server_address.h"
#include "client/channel/unary_call.h"
#include "client/fetch/manifest.h"
#include "client/fetch/parallel_fetch.h"
#include "client/fetch/pending_fetch.h"
#include "client/fetch/request_planner.h"
#include "lib/text/quote.h"
#include "lib/wire/proto_conversion.h"
#include "tensorferry/safetensors/header.h"

namespace tensorferry {
namespace {

constexpr int kMaxConnections = 64;

ModelInfo FromProto(const v1::Model& model) {
  return {.name = model.name(),
          .ready = model.state() == v1::MODEL_STATE_READY,
          .error = model.error(),
          .replacement_error = model.replacement_error(),
          .generation = model.generation(),
          .tensor_count = model.tensor_count(),
          .file_count = model.file_count(),
          .size_bytes = model.size_bytes()};
}

FileInfo FromProto(const v1::ModelFile& file) {
  FileInfo info{.name = file.name(),
                .kind = FileInfo::Kind::kCompanion,
                .size_bytes = file.size_bytes(),
                .digest = file.digest(),
                .metadata = {file.metadata().begin(), file.metadata().end()}};
  if (file.kind() == v1::FILE_KIND_SAFETENSORS) info.kind = FileInfo::Kind::kSafetensors;
  if (file.kind() == v1::FILE_KIND_INDEX) info.kind = FileInfo::Kind::kIndex;
  return info;
}

// Returns a destination for which memory of the result's size is allocated, in `data`.
Destination Allocated(std::unique_ptr<std::byte[]>& data) {
  return Destination::Deferred([&data](const ReadResult& result) -> absl::StatusOr<Destination> {
    const auto size = static_cast<std::size_t>(result.size_bytes);
    // A tensor larger than the available memory must not end the program.
    data.reset(new (std::nothrow) std::byte[size]);
    if (data == nullptr) {
      return absl::ResourceExhaustedError(
          fmt::format("tensor {}: cannot allocate {} bytes", Quote(result.name), result.size_bytes));
    }
    return std::span(data.get(), size);
  });
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
    const bool automatic = options.connections == 0;
    const int count = automatic ? kMaxAutomaticConnections : options.connections;
    for (int i = 0; i < count; ++i) {
      // A fetch from several servers has to compare their bytes. So a fetch is striped over them only if `connections`
      // is set.
      channels_.push_back(
          std::make_unique<FailoverChannel>(addresses, static_cast<std::size_t>(automatic ? 0 : i), dial));
    }
    fetch_channels_.channels = channels_;
    const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    fetch_channels_.connections_for = [=, encrypted = credentials->encrypted](std::int64_t size_bytes) {
      return automatic ? AutomaticConnections(size_bytes, encrypted, cores) : count;
    };
  }

  // Finds a server that accepts connections, in one round over the addresses. Errors: those of the last server.
  absl::Status Probe(absl::Duration timeout) {
    const absl::Time deadline = DeadlineAfter(timeout);
    for (std::size_t left = channels_.front()->address_count(); true; --left) {
      const std::shared_ptr<Connection> connection = channels_.front()->Current();
      // A server that does not answer must leave time for the next ones.
      const absl::Duration share =
          left == 1 ? timeout : absl::Trunc((deadline - absl::Now()) / left, absl::Milliseconds(1));
      const absl::Status status = ProbeOnce(*connection, share, std::min(absl::Now() + share, deadline));
      if (status.ok() || left == 1) return status;
      channels_.front()->MoveOn(connection, status);
    }
  }

  // Calls a unary method on the first channel.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(UnaryMethod<Request, Response> method, const Request& request, absl::Time deadline,
                                const CallOptions& options) {
    return CallWithRetry(*channels_.front(), retry_, method, request, deadline, options);
  }

  FailoverChannel& first_channel() { return *channels_.front(); }
  const FetchChannels& fetch_channels() const { return fetch_channels_; }
  const Retry& retry() const { return retry_; }

 private:
  static absl::Status ProbeOnce(Connection& connection, absl::Duration timeout, absl::Time deadline) {
    {
      CallContext context(deadline, {});
      if (absl::Status status = connection.Authorize(context.grpc()); !status.ok()) return status;
    }
    if (connection.WaitUntilReady(deadline)) return absl::OkStatus();
    // Only a call returns the reason why a connection failed.
    v1::ListModelsRequest request;
    request.set_page_size(1);
    const absl::Status status =
        CallOnce(connection, &v1::TensorService::Stub::ListModels, request, deadline, {}).status();
    if (!absl::IsDeadlineExceeded(status)) return status;
    return WithAddress(connection, absl::UnavailableError(fmt::format("no answer within {}", FormatSeconds(timeout))));
  }

  const Retry retry_;
  std::vector<std::unique_ptr<FailoverChannel>> channels_;
  FetchChannels fetch_channels_;
};

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

absl::StatusOr<Client> Client::Connect(std::vector<std::string> addresses, const ClientOptions& options) {
  if (options.connections < 0 || options.connections > kMaxConnections) {
    return absl::InvalidArgumentError(fmt::format("connections is {}: it must be from 1 to {}, or 0 for automatic",
                                                  options.connections, kMaxConnections));
  }
  if (addresses.empty()) return absl::InvalidArgumentError("no address: give host:port");
  for (std::string& address : addresses) {
    absl::StatusOr<std::string> parsed = ParseServerAddress(address);
    if (!parsed.ok()) return parsed.status();
    address = *std::move(parsed);
  }
  if (absl::Status status = RetryPolicy::Validate(options.retry); !status.ok()) return status;
  const absl::StatusOr<std::shared_ptr<const Credentials>> credentials =
      MakeCredentials(options.tls, options.token, options.proxy_from_environment);
  if (!credentials.ok()) return credentials.status();
  Client client(std::make_shared<Impl>(addresses, options, *credentials));
  if (absl::Status status = client.impl_->Probe(options.connect_timeout); !status.ok()) return status;
  return client;
}

absl::StatusOr<std::vector<ModelInfo>> Client::ListModels(const CallOptions& options) const {
  const absl::Time deadline = DeadlineAfter(options.timeout);
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
  const absl::Time deadline = DeadlineAfter(options.timeout);
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
  const absl::Time deadline = DeadlineAfter(options.timeout);
  ModelMetadata metadata;
  v1::GetMetadataRequest request;
  request.set_model(std::string(model));
  request.set_generation(options.generation);
  std::vector<std::size_t> omitted;  // the files whose metadata did not fit into a message
  do {
    const auto page = impl_->Call(&v1::TensorService::Stub::GetMetadata, request, deadline, options);
    if (!page.ok()) return page.status();
    metadata.model = FromProto(page->model());
    metadata.tree_digest = page->tree_digest();
    for (const v1::ModelFile& file : page->files()) {
      if (file.metadata_omitted()) omitted.push_back(metadata.files.size());
      metadata.files.push_back(FromProto(file));
    }
    request.set_page_token(page->next_page_token());
    request.set_generation(metadata.model.generation);
  } while (!request.page_token().empty());
  for (const std::size_t index : omitted) {
    FetchOptions fetch{.timeout = deadline - absl::Now(),
                       .stop_token = options.stop_token,
                       .generation = metadata.model.generation,
                       .on_retry = options.on_retry};
    absl::StatusOr<std::map<std::string, std::string>> read = ReadFileMetadata(model, metadata.files[index], fetch);
    if (!read.ok()) return read.status();
    metadata.files[index].metadata = *std::move(read);
  }
  return metadata;
}

// Reads the `__metadata__` from the header of a file.
absl::StatusOr<std::map<std::string, std::string>> Client::ReadFileMetadata(std::string_view model,
                                                                            const FileInfo& file,
                                                                            const FetchOptions& options) const {
  std::array<std::byte, safetensors::kPrefixBytes> prefix;
  if (absl::Status status = FetchFile(model, file.name, file.digest, 0, prefix, options); !status.ok()) return status;
  const absl::StatusOr<std::int64_t> size = safetensors::ParseHeaderSize(prefix, file.size_bytes);
  if (!size.ok()) return size.status();
  std::string json(static_cast<std::size_t>(*size), '\0');
  absl::Status status = FetchFile(model, file.name, file.digest, safetensors::kPrefixBytes, json, options);
  if (!status.ok()) return status;
  const absl::StatusOr<safetensors::Header> header =
      safetensors::Header::Parse(json, file.size_bytes - safetensors::kPrefixBytes - *size);
  if (!header.ok()) return header.status();
  return std::map<std::string, std::string>(header->metadata().begin(), header->metadata().end());
}

absl::StatusOr<TensorInfo> Client::GetTensorInfo(std::string_view model, std::string_view tensor,
                                                 const CallOptions& options) const {
  v1::GetMetadataRequest request;
  request.set_model(std::string(model));
  request.set_generation(options.generation);
  request.set_tensor(std::string(tensor));
  const auto answer =
      impl_->Call(&v1::TensorService::Stub::GetMetadata, request, DeadlineAfter(options.timeout), options);
  if (!answer.ok()) return answer.status();
  return wire::FromProto(answer->tensor());
}

absl::StatusOr<FetchResult> Client::Fetch(std::string_view model, std::span<const Read> reads,
                                          const FetchOptions& options) const {
  // The callback may block, and must not delay the transfer.
  if (options.on_read_done) return StartFetch(model, reads, options).Result();
  return ParallelFetch(impl_->fetch_channels(), impl_->retry(), model, reads, options, {}).Run();
}

PendingFetch Client::StartFetch(std::string_view model, std::span<const Read> reads, FetchOptions options) const {
  return PendingFetch(
      std::make_unique<PendingFetch::Impl>(impl_, impl_->fetch_channels(), impl_->retry(), std::string(model),
                                           std::vector<Read>(reads.begin(), reads.end()), std::move(options)));
}

absl::StatusOr<Tensor> Client::FetchTensor(std::string_view model, std::string_view tensor,
                                           const std::optional<SliceSpec>& slice, const FetchOptions& options) const {
  std::unique_ptr<std::byte[]> data;
  const Read read{.tensor = std::string(tensor), .slice = slice, .into = Allocated(data)};
  absl::StatusOr<FetchResult> result = Fetch(model, std::span(&read, 1), options);
  if (!result.ok()) return result.status();
  return Tensor(std::move(result->reads.front()), std::move(data));
}

absl::StatusOr<std::vector<Tensor>> Client::FetchTensors(std::string_view model, std::span<const std::string> tensors,
                                                         const FetchOptions& options) const {
  std::vector<std::unique_ptr<std::byte[]>> data(tensors.size());
  std::vector<Read> reads;
  reads.reserve(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    reads.push_back({.tensor = tensors[i], .slice = std::nullopt, .into = Allocated(data[i])});
  }
  absl::StatusOr<FetchResult> result = Fetch(model, reads, options);
  if (!result.ok()) return result.status();
  std::vector<Tensor> fetched;
  fetched.reserve(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    fetched.emplace_back(std::move(result->reads[i]), std::move(data[i]));
  }
  return fetched;
}

absl::Status Client::FetchFile(std::string_view model, std::string_view file, std::string_view digest,
                               std::int64_t offset, const Destination& into, const FetchOptions& options) const {
  if (into.empty() || into.choose() != nullptr) {
    return absl::InvalidArgumentError(fmt::format("file {}: the destination must have a known size", Quote(file)));
  }
  StreamRequest request = PlanFileFetch(model, file, options.generation, offset, into.size_bytes());
  request.digest = std::string(digest);
  return ParallelFetch(impl_->fetch_channels(), impl_->retry(), model, {}, options, {})
      .RunFile(std::move(request), into);
}

absl::StatusOr<FileManifest> Client::GetManifest(std::string_view model, std::string_view file, std::string_view digest,
                                                 const CallOptions& options) const {
  return FetchManifest(impl_->first_channel(), impl_->retry(), model, file, digest, options);
}

}  // namespace tensorferry
