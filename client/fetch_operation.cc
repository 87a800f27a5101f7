// SPDX-License-Identifier: Apache-2.0
#include "client/fetch_operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "client/assembler.h"
#include "client/read_stream.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/quote.h"

namespace tensorferry {
namespace {

// How long a fetch that failed waits for what is on its way to a device, which may be stuck.
constexpr absl::Duration kMaxAbandonTime = absl::Seconds(1);

// What an error of a stream means to the fetch. `goes_on`: the stream was asked for the rest of one before it.
absl::Status Explain(const absl::Status& status, const Connection& connection, bool goes_on) {
  if (goes_on && (absl::IsAborted(status) || absl::IsNotFound(status) || absl::IsFailedPrecondition(status))) {
    // Whatever it is there, it is not what the fetch began with.
    return WithAddress(connection, absl::AbortedError(fmt::format("it cannot go on with what was begun: {}",
                                                                  std::string(status.message()))));
  }
  return NameServer(connection, status);
}

}  // namespace

FetchOperation::FetchOperation(std::span<const std::unique_ptr<Link>> links, std::vector<Lane> lanes,
                               std::size_t read_count, std::string fingerprint, const FetchOptions& options,
                               const Retry& retry)
    : links_(links),
      lanes_(std::move(lanes)),
      fingerprint_(std::move(fingerprint)),
      options_(options),
      retry_(retry),
      deadline_(DeadlineOf(options)) {
  result_.reads.resize(read_count);
  for (const Lane& lane : lanes_) {
    for (const StreamRequest& request : lane) {
      for (const ExpectedPart& part : request.parts) {
        bytes_total_ += part.end - part.begin;
        destinations_.push_back(part.destination);
      }
    }
  }
  std::ranges::sort(destinations_);
  destinations_.erase(std::unique(destinations_.begin(), destinations_.end()), destinations_.end());
}

absl::StatusOr<FetchResult> FetchOperation::Run() {
  const std::stop_callback on_stop(options_.stop_token, [this] { stop_.request_stop(); });
  if (absl::Status status = FillDestinations(); !status.ok()) {
    const absl::Time until = absl::Now() + kMaxAbandonTime;
    for (Destination* destination : destinations_) destination->Abandon(until);
    return status;
  }
  ReportProgress();
  return std::move(result_);
}

absl::Status FetchOperation::FillDestinations() {
  const FetchLimits limits{.deadline = deadline_, .stop_token = stop_.get_token()};
  for (Destination* destination : destinations_) {
    if (absl::Status status = destination->Begin(limits); !status.ok()) return status;
  }
  RunLanes();
  if (!status_.ok()) return status_;
  for (Destination* destination : destinations_) {
    if (absl::Status status = destination->Finish(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void FetchOperation::RunLanes() {
  lanes_running_ = lanes_.size();
  std::vector<std::jthread> threads;
  for (std::size_t i = 1; i < lanes_.size(); ++i) {
    try {
      threads.emplace_back([this, i] { RunLane(i); });
    } catch (const std::system_error& error) {
      Fail(absl::ResourceExhaustedError(fmt::format("there is no thread for connection {}: {}", i, error.what())));
      const std::lock_guard lock(mutex_);
      lanes_running_ -= lanes_.size() - i;
      break;
    }
  }
  if (!lanes_.empty()) RunLane(0);
  std::unique_lock lock(mutex_);
  while (lanes_running_ > 0) {
    lane_ended_.wait_for(lock, std::chrono::milliseconds(100));
    lock.unlock();
    ReportProgress();
    lock.lock();
  }
}

void FetchOperation::RunLane(std::size_t index) {
  for (const StreamRequest& request : lanes_[index]) {
    if (const absl::Status status = RunRequest(*links_[index], request, index == 0); !status.ok()) {
      Fail(status);
      break;
    }
  }
  const std::lock_guard lock(mutex_);
  --lanes_running_;
  lane_ended_.notify_one();
}

absl::Status FetchOperation::RunRequest(Link& link, const StreamRequest& request, bool report_progress) {
  Assembler assembler(request.parts, AgreedGeneration(), fingerprint_);
  RetryLoop retry(retry_, deadline_, stop_.get_token(),
                  [this](const absl::Status& status, absl::Duration delay) { ReportRetry(status, delay); });
  const google::protobuf::Message* message = request.message.get();
  std::unique_ptr<google::protobuf::Message> resumed;
  while (true) {
    const std::shared_ptr<Connection> connection = link.Current();
    const bool goes_on = assembler.begun();
    const std::int64_t received_before = assembler.received_bytes();
    absl::Status status = RunStream(*connection, request.method, *message, assembler, report_progress);
    if (assembler.done()) break;
    if (!status.ok()) {
      if (assembler.destination_failed()) return status;
      status = Explain(status, *connection, goes_on);
      if (assembler.received_bytes() > received_before) retry.MadeProgress();
      // Also before giving up, so that the next call does not begin with a channel that waits.
      link.MoveOn(connection, status);
      if (absl::Status given_up = retry.WaitAfter(status); !given_up.ok()) return given_up;
    }
    resumed = ResumeMessage(request, assembler.Resume(), assembler.generation());
    message = resumed.get();
  }
  Merge(request, std::move(assembler).TakeResults());
  return absl::OkStatus();
}

absl::Status FetchOperation::RunStream(Connection& connection, const std::string& method,
                                       const google::protobuf::Message& message, Assembler& assembler,
                                       bool report_progress) {
  ReadStream stream(connection, method, message, deadline_, stop_.get_token());
  grpc::ByteBuffer received;
  while (stream.Next(received)) {
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(received);
    if (!chunk.ok()) return chunk.status();
    const std::int64_t before = assembler.received_bytes();
    absl::Status status = assembler.Add(*chunk);
    // What was received before an error stays, and is not asked for again.
    bytes_done_ += assembler.received_bytes() - before;
    if (status.ok() && chunk->head->has_header()) status = AgreeOn(assembler.generation());
    if (!status.ok()) return status;
    if (report_progress) ReportProgress();
  }
  if (absl::Status status = stream.Finish(); !status.ok()) return status;
  return assembler.Complete();
}

std::string FetchOperation::AgreedGeneration() {
  const std::lock_guard lock(mutex_);
  return result_.generation.empty() ? options_.generation : result_.generation;
}

absl::Status FetchOperation::AgreeOn(const std::string& generation) {
  const std::lock_guard lock(mutex_);
  if (result_.generation.empty()) result_.generation = generation;
  if (result_.generation == generation) return absl::OkStatus();
  return absl::AbortedError(fmt::format("the model changed while it was fetched: from generation {} to {}",
                                        Quote(result_.generation), Quote(generation)));
}

void FetchOperation::Merge(const StreamRequest& request, std::vector<ReadResult> results) {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < request.reads.size(); ++i) result_.reads[request.reads[i]] = std::move(results[i]);
}

void FetchOperation::Fail(const absl::Status& status) {
  {
    const std::lock_guard lock(mutex_);
    // What the others fail with after this is only that they were stopped.
    if (status_.ok()) status_ = status;
  }
  stop_.request_stop();
}

void FetchOperation::ReportProgress() {
  if (!options_.on_progress) return;
  const std::lock_guard lock(report_mutex_);
  options_.on_progress({.bytes_done = bytes_done_, .bytes_total = bytes_total_});
}

void FetchOperation::ReportRetry(const absl::Status& status, absl::Duration delay) {
  if (!options_.on_retry) return;
  const std::lock_guard lock(report_mutex_);
  options_.on_retry(status, delay);
}

}  // namespace tensorferry
