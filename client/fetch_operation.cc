// SPDX-License-Identifier: Apache-2.0
#include "client/fetch_operation.h"

#include <fmt/format.h>

#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "client/assembler.h"
#include "client/read_stream.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/quote.h"

namespace tensorferry {

FetchOperation::FetchOperation(std::span<const std::unique_ptr<Connection>> connections, std::vector<Lane> lanes,
                               std::size_t read_count, std::string fingerprint, const FetchOptions& options)
    : connections_(connections),
      lanes_(std::move(lanes)),
      fingerprint_(std::move(fingerprint)),
      options_(options),
      deadline_(DeadlineOf(options)) {
  result_.reads.resize(read_count);
  for (const Lane& lane : lanes_) {
    for (const StreamRequest& request : lane) {
      for (const ExpectedPart& part : request.parts) bytes_total_ += part.end - part.begin;
    }
  }
}

absl::StatusOr<FetchResult> FetchOperation::Run() {
  const std::stop_callback on_stop(options_.stop_token, [this] { stop_.request_stop(); });
  lanes_running_ = lanes_.size();
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < lanes_.size(); ++i) threads.emplace_back([this, i] { RunLane(i); });
    if (!lanes_.empty()) RunLane(0);
    std::unique_lock lock(mutex_);
    while (lanes_running_ > 0) {
      lane_ended_.wait_for(lock, std::chrono::milliseconds(100));
      lock.unlock();
      ReportProgress();
      lock.lock();
    }
  }
  if (!status_.ok()) return status_;
  if (absl::Status status = FinishDestinations(); !status.ok()) return status;
  ReportProgress();
  return std::move(result_);
}

void FetchOperation::RunLane(std::size_t index) {
  for (StreamRequest& request : lanes_[index]) {
    if (const absl::Status status = RunStream(*connections_[index], request, index == 0); !status.ok()) {
      Fail(status);
      break;
    }
  }
  const std::lock_guard lock(mutex_);
  --lanes_running_;
  lane_ended_.notify_one();
}

absl::Status FetchOperation::RunStream(Connection& connection, StreamRequest& request, bool report_progress) {
  Assembler assembler(request.parts, options_.generation, fingerprint_);
  ReadStream stream(connection, request.method, *request.message, deadline_, stop_.get_token());
  grpc::ByteBuffer message;
  while (stream.Next(message)) {
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message);
    if (!chunk.ok()) return chunk.status();
    if (absl::Status status = assembler.Add(*chunk); !status.ok()) return status;
    bytes_done_ += chunk->data_size_bytes;
    if (report_progress) ReportProgress();
  }
  if (absl::Status status = stream.Finish(); !status.ok()) return status;
  if (absl::Status status = assembler.CheckComplete(); !status.ok()) return status;
  return Merge(request, assembler);
}

absl::Status FetchOperation::Merge(const StreamRequest& request, const Assembler& assembler) {
  const std::lock_guard lock(mutex_);
  if (result_.generation.empty()) result_.generation = assembler.generation();
  if (result_.generation != assembler.generation()) {
    return absl::AbortedError(fmt::format("the model changed while it was fetched: from generation {} to {}",
                                          Quote(result_.generation), Quote(assembler.generation())));
  }
  for (std::size_t i = 0; i < request.reads.size(); ++i) result_.reads[request.reads[i]] = assembler.results()[i];
  return absl::OkStatus();
}

void FetchOperation::Fail(const absl::Status& status) {
  {
    const std::lock_guard lock(mutex_);
    // What the others fail with after this is only that they were stopped.
    if (status_.ok()) status_ = status;
  }
  stop_.request_stop();
}

void FetchOperation::ReportProgress() const {
  if (options_.on_progress) options_.on_progress({.bytes_done = bytes_done_, .bytes_total = bytes_total_});
}

absl::Status FetchOperation::FinishDestinations() {
  std::set<Destination*> destinations;
  for (const Lane& lane : lanes_) {
    for (const StreamRequest& request : lane) {
      for (const ExpectedPart& part : request.parts) destinations.insert(part.destination);
    }
  }
  for (Destination* destination : destinations) {
    if (absl::Status status = destination->Finish(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace tensorferry
