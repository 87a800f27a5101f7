// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/resuming_read.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "client/channel/call_error.h"
#include "client/channel/retry_loop.h"
#include "client/fetch/checksum_comparison.h"
#include "client/fetch/read_stream.h"
#include "lib/wire/chunk_decoder.h"

namespace tensorferry {
namespace {

// The number of calls to a name of several servers until the wanted one answers.
constexpr int kMaxInstancesAsked = 64;

// Returns the error of the fetch for an error of a stream. `continues`: other streams of the fetch have begun before.
absl::Status Explain(const absl::Status& status, const Connection& connection, bool continues) {
  if (continues && (absl::IsAborted(status) || absl::IsNotFound(status) || absl::IsFailedPrecondition(status))) {
    // The server does not have the model, or the generation, that the fetch began with.
    return WithAddress(connection, absl::AbortedError(fmt::format("cannot resume the fetch at this server: {}",
                                                                  std::string(status.message()))));
  }
  return NameServer(connection, status);
}

}  // namespace

ResumingRead::ResumingRead(StreamRequest request, FailoverChannel& channel, FetchState& fetch)
    : request_(std::move(request)), channel_(channel), fetch_(fetch), assembler_({}, {}, {}) {}

absl::Status ResumingRead::Run(bool report_progress) {
  assembler_ = Assembler(std::move(request_.parts), fetch_.RequiredGeneration(), request_.digest);
  RetryLoop retry(fetch_.retry(), fetch_.deadline(), fetch_.stop_token(),
                  [this](const absl::Status& status, absl::Duration delay) { fetch_.ReportRetry(status, delay); });
  const google::protobuf::Message* message = request_.message.get();
  std::unique_ptr<google::protobuf::Message> resumed;
  int comparisons = 0;  // since bytes arrived
  while (true) {
    const std::shared_ptr<Connection> connection = channel_.Current();
    const bool continues = fetch_.has_begun();
    const std::int64_t received_before = assembler_.received_bytes();
    std::string to_compare;
    absl::Status status = RunStream(*connection, *message, report_progress, to_compare);
    if (!to_compare.empty()) {
      // The stream has ended before the comparison: a server may admit only one stream per client.
      status = ++comparisons > kMaxInstancesAsked
                   ? absl::UnavailableError("every stream came from another server, or another opening of the files")
                   : CompareAt(*connection, to_compare);
      if (status.ok()) {
        assembler_.AddEqualInstance(to_compare);
        fetch_.tracker().SetInstance(this, assembler_.instance());
        ReportConfirmed();
      }
    }
    if (assembler_.done()) return absl::OkStatus();
    if (assembler_.received_bytes() > received_before) comparisons = 0;
    if (!status.ok()) {
      if (assembler_.destination_failed()) return status;
      status = Explain(status, *connection, continues);
      if (assembler_.received_bytes() > received_before) retry.MadeProgress();
      // Also before giving up, so that the next call does not begin with a connection in backoff. The error of a stream
      // that was stopped is not about its connection.
      if (!fetch_.stop_token().stop_requested()) channel_.MoveOn(connection, status);
      if (absl::Status given_up = retry.WaitAfter(status); !given_up.ok()) return given_up;
    }
    resumed = RequestForRanges(request_, assembler_.Resume(), assembler_.generation(), /*checksums_only=*/false);
    message = resumed.get();
  }
}

absl::Status ResumingRead::RunStream(Connection& connection, const google::protobuf::Message& message,
                                     bool report_progress, std::string& to_compare) {
  ReadStream stream(connection, request_.method, message, fetch_.deadline(), fetch_.stop_token());
  grpc::ByteBuffer received;
  while (stream.Next(received)) {
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(received);
    if (!chunk.ok()) return chunk.status();
    const bool has_header = chunk->head->has_header();
    if (has_header && assembler_.MustCompare(chunk->head->header())) {
      if (absl::Status status = wire::VerifyChecksum(*chunk); !status.ok()) return status;
      to_compare = chunk->head->header().instance();
      if (to_compare.empty()) return BrokenProtocol("it names no instance");
      return absl::OkStatus();
    }
    const std::int64_t before = assembler_.received_bytes();
    absl::Status status = assembler_.Add(*chunk);
    // Bytes received before an error stay, and are not requested again.
    fetch_.AddBytes(assembler_.received_bytes() - before);
    if (status.ok() && has_header) {
      fetch_.tracker().SetInstance(this, assembler_.instance());
      status = fetch_.AgreeOn(assembler_.generation());
    }
    if (!status.ok()) return status;
    ReportConfirmed();
    if (report_progress) fetch_.ReportProgress();
  }
  if (absl::Status status = stream.Finish(); !status.ok()) return status;
  absl::Status status = assembler_.Complete();
  ReportConfirmed();
  return status;
}

void ResumingRead::ReportConfirmed() {
  std::vector<std::size_t> confirmed = assembler_.TakeConfirmed();
  if (confirmed.empty()) return;
  for (std::size_t& part : confirmed) part = request_.reads[part];
  fetch_.tracker().Confirm(confirmed);
}

absl::Status ResumingRead::CompareAt(Connection& connection, std::string& instance) {
  const std::vector<ReceivedRange> received = assembler_.Received();
  if (received.empty()) return absl::OkStatus();
  std::vector<RemainingRange> ranges;
  ranges.reserve(received.size());
  for (const ReceivedRange& range : received) ranges.push_back({range.part, range.begin, range.size_bytes});
  const std::unique_ptr<google::protobuf::Message> message =
      RequestForRanges(request_, ranges, assembler_.generation(), /*checksums_only=*/true);
  for (int i = 0; i < kMaxInstancesAsked; ++i) {
    bool other_instance = false;
    absl::Status status = CompareOnce(connection, *message, received, instance, other_instance);
    if (!other_instance) return status;
  }
  return absl::UnavailableError("the server that sent the bytes did not answer again, so they cannot be compared");
}

absl::Status ResumingRead::CompareOnce(Connection& connection, const google::protobuf::Message& message,
                                       const std::vector<ReceivedRange>& received, std::string& instance,
                                       bool& other_instance) {
  ReadStream stream(connection, request_.method, message, fetch_.deadline(), fetch_.stop_token());
  ChecksumComparison comparison(received, assembler_.generation());
  grpc::ByteBuffer buffer;
  while (stream.Next(buffer)) {
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(buffer, wire::StreamContent::kChecksums);
    if (!chunk.ok()) return chunk.status();
    if (chunk->head->has_header()) {
      if (instance.empty()) instance = chunk->head->header().instance();
      other_instance = chunk->head->header().instance() != instance;
      if (other_instance) return absl::OkStatus();
    }
    if (absl::Status status = comparison.Add(*chunk); !status.ok()) return status;
  }
  if (absl::Status status = stream.Finish(); !status.ok()) return status;
  return comparison.Complete();
}

}  // namespace tensorferry
