// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_LIMITER_H_
#define TENSORFERRY_SERVER_STREAM_LIMITER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/stream/in_flight_bytes.h"
#include "server/stream/options.h"

namespace tensorferry::server {

// Knows the streams that are running and what they hold: admits no more than there may be, and has those cut off that
// take too long.
// Safe for concurrent use by multiple threads.
class StreamLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  // What the registry wants of a stream.
  class Stream {
   public:
    virtual ~Stream() = default;
    // Ends the stream if it broke the limits by `now`. Says whether it has.
    virtual bool CutOff(const StreamLimits& limits, Clock::time_point now) = 0;
    // Ends the stream with this error as soon as what is being written has been, unless it ends already.
    virtual void End(const absl::Status& error) = 0;
  };

  // Counts a stream until it is destroyed. Must not outlive the registry.
  class Ticket {
   public:
    explicit Ticket(std::atomic<long>& count) : count_(&count) {}
    Ticket(Ticket&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket() {
      if (count_ != nullptr) --*count_;
    }

   private:
    std::atomic<long>* count_;
  };

  explicit StreamLimiter(const StreamLimits& limits);

  // Errors: RESOURCE_EXHAUSTED, with the time after which to try again: there are as many streams as there may be, or
  // they hold as much as they may.
  absl::StatusOr<Ticket> Admit();
  // What all streams hold. It may outlive the registry.
  const std::shared_ptr<InFlightBytes>& in_flight_bytes() const { return in_flight_bytes_; }
  // Whether streams are to keep no more ready than they need: they hold half of what they may.
  bool ShortOfMemory() const;
  // Has the stream looked after for as long as it lives.
  void Watch(std::weak_ptr<Stream> stream);
  // Ends all that are running.
  void EndAll(const absl::Status& error);

  // How many streams have not ended. Whoever reads 0 sees all that they did.
  long active() const { return active_; }

 private:
  // How often it looks, at most.
  static constexpr std::chrono::milliseconds kSweepInterval = std::chrono::seconds(1);

  void Run(const std::stop_token& stop);
  void Sweep();
  // Those that are watched and alive.
  std::vector<std::shared_ptr<Stream>> Running();

  const StreamLimits limits_;
  const std::shared_ptr<InFlightBytes> in_flight_bytes_ = std::make_shared<InFlightBytes>();
  std::atomic<long> active_ = 0;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<std::weak_ptr<Stream>> streams_;  // guarded by mutex_
  std::jthread thread_;                         // the last member, so that it ends first
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_LIMITER_H_
