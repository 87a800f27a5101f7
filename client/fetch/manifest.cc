// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "client/channel/call_error.h"
#include "client/channel/connection.h"
#include "client/fetch/assembler.h"
#include "client/fetch/read_stream.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

absl::StatusOr<FileManifest> FetchOnce(Connection& connection, const v1::GetFileRequest& request, absl::Time deadline,
                                       const std::stop_token& stop_token) {
  ReadStream stream(connection, "GetFile", request, deadline, stop_token);
  ManifestBuilder builder;
  grpc::ByteBuffer message;
  while (stream.Next(message)) {
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message, wire::StreamContent::kChecksums);
    if (!chunk.ok()) return chunk.status();
    if (absl::Status status = builder.Add(*chunk); !status.ok()) return status;
  }
  if (absl::Status status = stream.Finish(); !status.ok()) return status;
  return std::move(builder).Complete();
}

}  // namespace

absl::Status ManifestBuilder::Add(const wire::DecodedChunk& chunk) {
  if (chunk.head->has_header() == has_header_) return BrokenProtocol("the header must be in the first message only");
  if (chunk.head->has_header()) {
    has_header_ = true;
    if (chunk.head->header().read_count() != 1) return BrokenProtocol("a manifest must describe one file");
    manifest_.digest = chunk.head->header().digest();
  }
  for (const v1::ReadResult& result : chunk.head->results()) {
    if (std::exchange(has_result_, true) || result.size_bytes() < 0) {
      return BrokenProtocol("a manifest must describe one file");
    }
    manifest_.name = result.name();
    manifest_.size_bytes = result.size_bytes();
  }
  if (chunk.head->segments().empty()) return absl::OkStatus();
  const v1::Segment& segment = chunk.head->segments(0);
  const std::int64_t expected = std::min(FileManifest::kBlockBytes, manifest_.size_bytes - covered_bytes_);
  if (chunk.head->segments_size() != 1 || segment.read_index() != 0 || segment.result_offset() != covered_bytes_ ||
      segment.size_bytes() != expected) {
    return BrokenProtocol(
        fmt::format("the manifest has no checksum for the {} bytes from {}", expected, covered_bytes_));
  }
  covered_bytes_ += expected;
  manifest_.block_crc32c.push_back(chunk.head->crc32c());
  return absl::OkStatus();
}

absl::StatusOr<FileManifest> ManifestBuilder::Complete() && {
  if (!has_header_ || !has_result_) return BrokenProtocol("the manifest describes no file");
  if (covered_bytes_ != manifest_.size_bytes) {
    return BrokenProtocol(fmt::format("the manifest covers {} bytes of {}", covered_bytes_, manifest_.size_bytes));
  }
  return std::move(manifest_);
}

absl::StatusOr<FileManifest> FetchManifest(FailoverChannel& channel, const Retry& retry, std::string_view model,
                                           std::string_view file, std::string_view digest, const CallOptions& options) {
  const absl::Time deadline = DeadlineAfter(options.timeout);
  v1::GetFileRequest request;
  request.set_model(std::string(model));
  request.set_generation(options.generation);
  request.set_file(std::string(file));
  request.set_checksums_only(true);
  RetryLoop loop(retry, deadline, options.stop_token, options.on_retry);
  while (true) {
    const std::shared_ptr<Connection> connection = channel.Current();
    absl::StatusOr<FileManifest> manifest = FetchOnce(*connection, request, deadline, options.stop_token);
    if (manifest.ok() && manifest->name != file) {
      manifest = BrokenProtocol(fmt::format("the manifest is that of file {}", Quote(manifest->name)));
    }
    if (manifest.ok()) {
      if (digest.empty() || manifest->digest == digest) return manifest;
      return absl::AbortedError(fmt::format("file {} changed: its digest is {}, not {}", Quote(file),
                                            Quote(manifest->digest), Quote(digest)));
    }
    const absl::Status status = NameServer(*connection, manifest.status());
    if (!options.stop_token.stop_requested()) channel.MoveOn(connection, status);
    if (absl::Status given_up = loop.WaitAfter(status); !given_up.ok()) {
      return ExplainTimeout(given_up, options.timeout);
    }
  }
}

}  // namespace tensorferry
