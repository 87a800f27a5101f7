// SPDX-License-Identifier: Apache-2.0
//
// The main interface of the tensorferry client library: start here.
#ifndef TENSORFERRY_CLIENT_H_
#define TENSORFERRY_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tensorferry/destination.h"
#include "tensorferry/error_details.h"
#include "tensorferry/fetch.h"
#include "tensorferry/model_info.h"
#include "tensorferry/retry_options.h"
#include "tensorferry/security_options.h"
#include "tensorferry/slice.h"
#include "tensorferry/tensor.h"
#include "tensorferry/tensor_info.h"
#include "tensorferry/version.h"

namespace tensorferry {

// Most clients should leave everything but `tls` and `token` alone.
struct ClientOptions {
  // How long Connect waits for the server.
  absl::Duration connect_timeout = absl::Seconds(10);
  // Connections to the server, from 1 to 64, over which every fetch is spread. 0: automatic. A large fetch then uses as
  // many as the machine gains from, and a small one uses one.
  int connections = 0;
  // How calls continue after failures that may be temporary. Connect itself makes one round of the addresses.
  RetryOptions retry = {};
  // Absent: plaintext.
  std::optional<TlsOptions> tls = std::nullopt;
  TokenOptions token = {};
  // Reaches servers through the proxy that the environment names (grpc_proxy, https_proxy, http_proxy; no_proxy lists
  // exceptions). By default these variables have no effect: a proxy sees all that is not encrypted, tokens included.
  bool proxy_from_environment = false;
};

// Selects the tensors to list; empty takes all.
struct TensorFilter {
  std::string prefix;
  // `*` any run of characters (dots too), `?` any one, `[a-z]` and `[!a-z]` one of a set, `\` takes the next literally.
  std::string glob;
};

// A client of a tensorferry server, or of several that serve the same models.
//
// Safe for concurrent use by multiple threads. All calls block until they are done, except StartFetch. Errors, in
// addition to those listed:
// - UNAVAILABLE: the server cannot be reached or went away, and did not come back in time (see RetryOptions).
// - DEADLINE_EXCEEDED and CANCELLED: as CallOptions requested.
// - NOT_FOUND: no such model or tensor, or not for this caller.
// - UNAUTHENTICATED: the server wants a token, or another one.
// - PERMISSION_DENIED: the server does not admit the client certificate.
// - FAILED_PRECONDITION: the server cannot serve the model; the message says why.
// - RESOURCE_EXHAUSTED: the server has too much to do, for too long; or there are no threads or memory here.
// - ABORTED: the model is not, or no longer, of the required generation, or another server has other bytes under it.
// - DATA_LOSS: what arrived breaks the protocol or does not match its checksum.
// ErrorDetailsOf (error_details.h) returns the server, the attempts, and whether the error may be temporary. After an
// error the contents of destinations are unspecified.
class Client {
 public:
  // Connects to one of `addresses`: each is host:port, [ipv6]:port, unix:PATH or dns:///name:port. Several are servers
  // of the same models: each connection moves to the next when its server fails, and if ClientOptions::connections is
  // set, they begin with different ones. A fetch never mixes generations, nor the bytes of servers that disagree: it
  // compares checksums before it combines the bytes of two servers.
  // Errors: UNAVAILABLE: no server answered there in time, or TLS failed; INVALID_ARGUMENT: an option or address out of
  // range, a bad certificate or key, a token that would travel in plaintext; those of reading the files.
  static absl::StatusOr<Client> Connect(std::vector<std::string> addresses, const ClientOptions& options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Lists all models under the server's root, ordered by name, including those that cannot be served.
  absl::StatusOr<std::vector<ModelInfo>> ListModels(const CallOptions& options = {}) const;

  // Lists the tensors of a model, ordered by name, all of one generation.
  absl::StatusOr<std::vector<TensorInfo>> ListTensors(std::string_view model, const TensorFilter& filter = {},
                                                      const CallOptions& options = {}) const;

  // Returns a model's files, totals and digests.
  absl::StatusOr<ModelMetadata> GetMetadata(std::string_view model, const CallOptions& options = {}) const;

  // Returns one tensor's dtype, shape, size and place.
  absl::StatusOr<TensorInfo> GetTensorInfo(std::string_view model, std::string_view tensor,
                                           const CallOptions& options = {}) const;

  // Fills the destinations of all `reads`. OK means that every byte of every read arrived, is of one generation,
  // matched its checksum, and was confirmed by the server; nothing else is OK. Errors: INVALID_ARGUMENT: a slice that
  // does not fit its tensor, or a destination whose size is not the result's.
  absl::StatusOr<FetchResult> Fetch(std::string_view model, std::span<const Read> reads,
                                    const FetchOptions& options = {}) const;

  // Starts the same in the background. The destinations must outlive what it returns; `reads` are copied.
  PendingFetch StartFetch(std::string_view model, std::span<const Read> reads, FetchOptions options = {}) const;

  // Fetches one tensor, or one slice of it, into memory that it allocates. One RPC, except for large tensors.
  // Errors: RESOURCE_EXHAUSTED: there is no memory for it; otherwise as Fetch.
  absl::StatusOr<Tensor> FetchTensor(std::string_view model, std::string_view tensor,
                                     const std::optional<SliceSpec>& slice = std::nullopt,
                                     const FetchOptions& options = {}) const;

  // Fetches whole tensors, all of one generation, into memory that it allocates. Returns them in the order of
  // `tensors`. Errors: as FetchTensor.
  absl::StatusOr<std::vector<Tensor>> FetchTensors(std::string_view model, std::span<const std::string> tensors,
                                                   const FetchOptions& options = {}) const;

  // Fills `into` with the bytes [offset, offset + size of `into`) of one file of the model.
  // Errors: ABORTED: `digest` is given and not the file's; INVALID_ARGUMENT, OUT_OF_RANGE: the range exceeds the file.
  absl::Status FetchFile(std::string_view model, std::string_view file, std::string_view digest, std::int64_t offset,
                         const Destination& into, const FetchOptions& options = {}) const;

  // Returns the checksums of a file's blocks, all from one server and one opening of the file, without its data. The
  // server reads blocks that it has not read yet.
  // Errors: ABORTED: `digest` is given and not the file's.
  absl::StatusOr<FileManifest> GetManifest(std::string_view model, std::string_view file, std::string_view digest = {},
                                           const CallOptions& options = {}) const;

 private:
  class Impl;
  explicit Client(std::shared_ptr<Impl> impl);
  absl::StatusOr<std::map<std::string, std::string>> ReadFileMetadata(std::string_view model, const FileInfo& file,
                                                                      const FetchOptions& options) const;

  std::shared_ptr<Impl> impl_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_H_
