// SPDX-License-Identifier: Apache-2.0
//
// The main interface of the tensorferry client library: start here.
#ifndef TENSORFERRY_CLIENT_H_
#define TENSORFERRY_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tensorferry/destination.h"
#include "tensorferry/fetch.h"
#include "tensorferry/model_info.h"
#include "tensorferry/retry_options.h"
#include "tensorferry/security_options.h"
#include "tensorferry/slice.h"
#include "tensorferry/tensor_info.h"

namespace tensorferry {

struct ClientOptions {
  // How long Connect waits for the server.
  absl::Duration connect_timeout = absl::Seconds(10);
  // Connections to the server, from 1 to 64. A fetch is spread over them; one is best up to about 3 GB/s.
  int connections = 1;
  // How calls go on after failures that may pass. Connect itself makes one round of the addresses.
  RetryOptions retry = {};
  // Absent: plaintext.
  std::optional<TlsOptions> tls = std::nullopt;
  TokenOptions token = {};
  // Reaches servers through the proxy that the environment names (grpc_proxy, https_proxy, http_proxy; no_proxy lists
  // exceptions). By default these variables have no effect: a proxy sees all that is not encrypted, tokens included.
  bool proxy_from_environment = false;
};

// Which tensors to list; empty takes all.
struct TensorFilter {
  std::string prefix;
  // `*` any run of characters (dots too), `?` any one, `[a-z]` and `[!a-z]` one of a set, `\` takes the next literally.
  std::string glob;
};

// A connection to a tensorferry server.
//
// Safe for concurrent use by multiple threads. All calls block until they are done. Errors, beside those listed:
// UNAVAILABLE: the server cannot be reached or went away, and stayed so (see RetryOptions); DEADLINE_EXCEEDED and
// CANCELLED: as CallOptions asked; NOT_FOUND: no such model or tensor, or not for this caller; UNAUTHENTICATED: the
// server wants a (or another) token; PERMISSION_DENIED: it does not admit the client certificate; FAILED_PRECONDITION:
// the server cannot serve the model, the message says why; RESOURCE_EXHAUSTED: the server has too much to do, and it
// stayed so, or there are no threads or memory; ABORTED: the model is not, or no longer, of the generation
// asked for; DATA_LOSS: what arrived breaks the protocol or does not match its checksum. After an error the contents of
// destinations are unspecified.
class Client {
 public:
  // Connects to `address`: host:port, [ipv6]:port, unix:PATH or dns:///name:port; or a list of these, with commas
  // between them, of servers that serve the same. Connections begin with different ones of a list, and each moves on to
  // the next when its server fails. A call never mixes generations: it fails with ABORTED if no server has that which
  // it began. Errors: UNAVAILABLE: no server answered there in time, or TLS failed; INVALID_ARGUMENT: an option or
  // address out of range, a bad certificate or key, a token that would travel in plaintext; those of reading the files.
  static absl::StatusOr<Client> Connect(std::string_view address, const ClientOptions& options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // All models under the server's root, ordered by name, those that cannot be served included.
  absl::StatusOr<std::vector<ModelInfo>> ListModels(const CallOptions& options = {}) const;

  // The tensors of a model, ordered by name, all of one generation.
  absl::StatusOr<std::vector<TensorInfo>> ListTensors(std::string_view model, const TensorFilter& filter = {},
                                                      const CallOptions& options = {}) const;

  // What a model is made of.
  absl::StatusOr<ModelMetadata> GetMetadata(std::string_view model, const CallOptions& options = {}) const;

  // One tensor's dtype, shape, size and place.
  absl::StatusOr<TensorInfo> GetTensorInfo(std::string_view model, std::string_view tensor,
                                           const CallOptions& options = {}) const;

  // Fills the destinations of all `reads`. OK means that every byte of every read arrived, is of one generation, and
  // matched its checksum; nothing else is OK.
  // Errors: INVALID_ARGUMENT: a slice that does not fit its tensor, or a destination whose size is not the result's.
  absl::StatusOr<FetchResult> Fetch(std::string_view model, std::span<const Read> reads,
                                    const FetchOptions& options = {}) const;

  // Fetches one tensor, or one slice of it, into memory that it allocates.
  // Errors: RESOURCE_EXHAUSTED: there is no memory for it; otherwise as Fetch.
  absl::StatusOr<Tensor> FetchTensor(std::string_view model, std::string_view tensor,
                                     const std::optional<SliceSpec>& slice = std::nullopt,
                                     const FetchOptions& options = {}) const;

  // Fills `destination` with the bytes [offset, offset + destination.size_bytes()) of one file of the model.
  // An empty destination takes nothing, from any offset; where the file ends is asked first then (GetMetadata).
  // Errors: ABORTED: `fingerprint` is given and not the file's; INVALID_ARGUMENT, OUT_OF_RANGE: the range exceeds it.
  absl::Status FetchFile(std::string_view model, std::string_view file, std::string_view fingerprint,
                         std::int64_t offset, Destination& destination, const FetchOptions& options = {}) const;

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_H_
