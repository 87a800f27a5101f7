// SPDX-License-Identifier: Apache-2.0
#include "server/stream/limiter.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "absl/time/time.h"
#include "lib/wire/retry_info.h"
#include "server/log/log.h"

namespace tensorferry::server {
namespace {

constexpr absl::Duration kSweepInterval = absl::Seconds(1);

// The usual duration of a stream: there is hardly room earlier.
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

absl::Status Refused(const std::string& why) {
  return wire::WithRetryDelay(absl::ResourceExhaustedError(why + ": try again, or elsewhere"), kRetryDelay);
}

}  // namespace

StreamLimiter::StreamLimiter(const StreamLimits& limits, SteadyClock clock)
    : limits_(limits), clock_(std::move(clock)), thread_([this] {
        while (!stopping_.WaitForNotificationWithTimeout(kSweepInterval)) Sweep();
      }) {}

StreamLimiter::~StreamLimiter() {
  stopping_.Notify();
  thread_.join();
}

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
  const MutexLock lock(&mutex_);
  streams_.push_back(std::move(stream));
}

void StreamLimiter::EndAll(const absl::Status& error) {
  for (const std::shared_ptr<Stream>& stream : Running()) stream->End(error);
}

void StreamLimiter::Sweep() {
  const SteadyTime now = clock_();
  long cut = 0;
  for (const std::shared_ptr<Stream>& stream : Running()) cut += stream->CutOff(limits_, now) ? 1 : 0;
  if (cut > 0) LogWarning("streams are cut off: they stalled, or took too long", {{"streams", cut}});
}

std::vector<std::shared_ptr<StreamLimiter::Stream>> StreamLimiter::Running() {
  std::vector<std::shared_ptr<Stream>> streams;
  const MutexLock lock(&mutex_);
  std::erase_if(streams_, [&](const std::weak_ptr<Stream>& watched) {
    std::shared_ptr<Stream> stream = watched.lock();
    if (stream == nullptr) return true;
    streams.push_back(std::move(stream));
    return false;
  });
  return streams;
}

}  // namespace tensorferry::server
