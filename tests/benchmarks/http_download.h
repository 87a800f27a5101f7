// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_BENCHMARKS_HTTP_DOWNLOAD_H_
#define TENSORFERRY_TESTS_BENCHMARKS_HTTP_DOWNLOAD_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"

namespace tensorferry::benchmarks {

// A persistent connection to an HTTP/1.1 server. Receives ranges of files with plain recv() calls, the least work that
// a client can do. Not safe for concurrent use.
class HttpConnection {
 public:
  // Connects to `address`, a host:port. Errors: INVALID_ARGUMENT: no port. UNAVAILABLE.
  static absl::StatusOr<HttpConnection> Open(const std::string& address);

  // Fills `memory` with the bytes of `path` from `offset` on.
  // Errors: UNAVAILABLE: the connection broke. FAILED_PRECONDITION: the response is not exactly that range.
  absl::Status Get(const std::string& path, std::int64_t offset, std::span<std::byte> memory);

 private:
  HttpConnection(UniqueFd socket, std::string host) : socket_(std::move(socket)), host_(std::move(host)) {}

  UniqueFd socket_;
  std::string host_;
};

}  // namespace tensorferry::benchmarks

#endif  // TENSORFERRY_TESTS_BENCHMARKS_HTTP_DOWNLOAD_H_
