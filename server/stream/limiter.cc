// SPDX-License-Identifier: Apache-2.0
#include "server/stream/limiter.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/wire/retry_info.h"
#include "server/log/log.h"

namespace tensorferry::server {
namespace {

// About what a stream takes: sooner there is hardly room.
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

absl::Status Refused(const std::string& why) {
  return wire::WithRetryDelay(absl::ResourceExhaustedError(why + ": try again, or elsewhere"), kRetryDelay);
}

}  // namespace

StreamLimiter::StreamLimiter(const StreamLimits& limits)
    : limits_(limits), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

absl::StatusOr<StreamLimiter::Ticket> StreamLimiter::Admit() {
  Ticket ticket((++active_, active_));
  if (limits_.max_streams > 0 && active_ > limits_.max_streams) {
    return Refused(
        fmt::format("the server has {} streams already, the most it may have (--max-streams)", limits_.max_streams));
  }
  if (limits_.max_in_flight_bytes > 0 && in_flight_bytes_->value() >= limits_.max_in_flight_bytes) {
    return Refused(fmt::format("the server's streams hold {} bytes, the most they may hold (--max-in-flight-bytes)",
                               limits_.max_in_flight_bytes));
  }
  return ticket;
}

bool StreamLimiter::ShortOfMemory() const {
  return limits_.max_in_flight_bytes > 0 && in_flight_bytes_->value() >= limits_.max_in_flight_bytes / 2;
}

void StreamLimiter::Watch(std::weak_ptr<Stream> stream) {
  const std::lock_guard lock(mutex_);
  streams_.push_back(std::move(stream));
}

void StreamLimiter::Run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_for(lock, stop, kSweepInterval, [] { return false; });
    lock.unlock();
    Sweep();
    lock.lock();
  }
}

void StreamLimiter::EndAll(const absl::Status& error) {
  for (const std::shared_ptr<Stream>& stream : Running()) stream->End(error);
}

std::vector<std::shared_ptr<StreamLimiter::Stream>> StreamLimiter::Running() {
  std::vector<std::shared_ptr<Stream>> streams;
  const std::lock_guard lock(mutex_);
  std::erase_if(streams_, [&](const std::weak_ptr<Stream>& watched) {
    std::shared_ptr<Stream> stream = watched.lock();
    if (stream == nullptr) return true;
    streams.push_back(std::move(stream));
    return false;
  });
  return streams;
}

void StreamLimiter::Sweep() {
  const Clock::time_point now = Clock::now();
  long cut = 0;
  for (const std::shared_ptr<Stream>& stream : Running()) cut += stream->CutOff(limits_, now) ? 1 : 0;
  if (cut > 0) LogWarning("streams are cut off: they stalled, or took too long", {{"streams", cut}});
}

}  // namespace tensorferry::server
