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

// Options for a client. Most clients should leave everything but `tls` and `token` alone.
struct ClientOptions {
  // The time that Connect waits for a server.
  absl::Duration connect_timeout = absl::Seconds(10);
  // The number of connections that every fetch is spread over, from 1 to 64. 0: automatic. A small fetch then uses one
  // connection, and a large one as many as are faster on this machine.
  int connections = 0;
  // The retries after failures that may be temporary. Connect itself makes one round over the addresses.
  RetryOptions retry = {};
  // Absent: plaintext.
  std::optional<TlsOptions> tls = std::nullopt;
  TokenOptions token = {};
  // Connects through the proxy that the environment names in grpc_proxy, https_proxy or http_proxy; no_proxy lists
  // exceptions. By default these variables have no effect, because a proxy sees everything that is not encrypted,
  // including tokens.
  bool proxy_from_environment = false;
};

// Selects the tensors to list. Empty members select all.
struct TensorFilter {
  std::string prefix;
  // `*` matches any characters including dots, `?` any one, `[a-z]` and `[!a-z]` one of a set, `\` escapes the next
  // one.
  std::string glob;
};

// A client of a tensorferry server, or of several that serve the same models.
//
// Safe for concurrent use by multiple threads. All calls block until they are done, except StartFetch. Errors of all
// calls, in addition to those listed:
// - UNAVAILABLE: the server cannot be reached, and did not come back in time (see RetryOptions).
// - DEADLINE_EXCEEDED and CANCELLED: the timeout or stop of CallOptions.
// - NOT_FOUND: no such model or tensor, or this caller may not see it.
// - UNAUTHENTICATED: the server requires a token, or does not know this one.
// - PERMISSION_DENIED: the server rejects the client certificate.
// - FAILED_PRECONDITION: the server cannot serve the model, for the reason in the message.
// - RESOURCE_EXHAUSTED: the server stayed overloaded, or this machine has no threads or memory left.
// - ABORTED: the required generation is not, or no longer, the model's; or another server has other bytes under it.
// - DATA_LOSS: a response breaks the protocol or does not match its checksum.
// ErrorDetailsOf (error_details.h) returns the server, the number of attempts, and if the error may be temporary. After
// an error, the contents of destinations are unspecified.
class Client {
 public:
  // Connects to one of `addresses`. Each is host:port, [ipv6]:port, tensorferry://host:port, unix:PATH or
  // dns:///name:port. The default port is 7070. Several addresses are servers of the same models. Each connection moves
  // to the next server when its own fails. If ClientOptions::connections is set, the connections begin with different
  // servers. A fetch never mixes generations: it compares checksums before it combines the bytes of two servers.
  // Errors: UNAVAILABLE: no server answered in time, or TLS failed; INVALID_ARGUMENT: an option is out of range, an
  // address is malformed, a certificate or key is invalid, or a token would travel in plaintext; those of reading the
  // files.
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

  // Returns one tensor's dtype, shape, size and file.
  absl::StatusOr<TensorInfo> GetTensorInfo(std::string_view model, std::string_view tensor,
                                           const CallOptions& options = {}) const;

  // Fills the destinations of all `reads`, which must outlive the call. Returns OK only if every byte of every read has
  // arrived, is of one generation, matched its checksum, and was confirmed by the server. Errors: INVALID_ARGUMENT: a
  // slice does not fit its tensor, or the size of a destination is not that of the result.
  absl::StatusOr<FetchResult> Fetch(std::string_view model, std::span<const Read> reads,
                                    const FetchOptions& options = {}) const;

  // Starts the same fetch in the background. The destinations must outlive the returned object. `reads` are copied.
  PendingFetch StartFetch(std::string_view model, std::span<const Read> reads, FetchOptions options = {}) const;

  // Fetches one tensor, or one slice of it, into memory that it allocates. Makes one RPC, except for large tensors.
  // Errors: RESOURCE_EXHAUSTED: there is not enough memory; otherwise as Fetch.
  absl::StatusOr<Tensor> FetchTensor(std::string_view model, std::string_view tensor,
                                     const std::optional<SliceSpec>& slice = std::nullopt,
                                     const FetchOptions& options = {}) const;

  // Fetches whole tensors, all of one generation, into memory that it allocates. Returns them in the order of
  // `tensors`. Errors: as FetchTensor.
  absl::StatusOr<std::vector<Tensor>> FetchTensors(std::string_view model, std::span<const std::string> tensors,
                                                   const FetchOptions& options = {}) const;

  // Fills `into` with the bytes [offset, offset + size of `into`) of one file of the model. An empty `digest` accepts
  // any version of the file. Errors: ABORTED: the file has another digest; INVALID_ARGUMENT, OUT_OF_RANGE: the range
  // exceeds the file.
  absl::Status FetchFile(std::string_view model, std::string_view file, std::string_view digest, std::int64_t offset,
                         const Destination& into, const FetchOptions& options = {}) const;

  // Returns the checksums of a file's blocks without its data, all from one server and one opening of the file. The
  // server reads blocks that it has not read yet. Errors: ABORTED: `digest` is not empty, and the file has another
  // digest.
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
