// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_MANIFEST_H_
#define TENSORFERRY_CLIENT_FETCH_MANIFEST_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/channel/failover_channel.h"
#include "client/channel/retry_loop.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/fetch.h"
#include "tensorferry/model_info.h"

namespace tensorferry {

// Builds the manifest of a whole file from a stream of checksums. Does no I/O. Not safe for concurrent use.
class ManifestBuilder {
 public:
  // Takes the next chunk. Errors: DATA_LOSS: the stream breaks the protocol.
  absl::Status Add(const wire::DecodedChunk& chunk);
  // Returns the manifest. To be called when the stream has ended with OK. Errors: DATA_LOSS: blocks are missing.
  absl::StatusOr<FileManifest> Complete() &&;

 private:
  FileManifest manifest_;
  bool has_header_ = false;
  bool has_result_ = false;
  std::int64_t covered_bytes_ = 0;
};

// Fetches the manifest of a file in one stream, so that all of it is from one opening of the file. Blocks until the
// call ends. Errors: ABORTED: `digest` is not empty and not the file's; those of the call.
absl::StatusOr<FileManifest> FetchManifest(FailoverChannel& channel, const Retry& retry, std::string_view model,
                                           std::string_view file, std::string_view digest, const CallOptions& options);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_MANIFEST_H_
