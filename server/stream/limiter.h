// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_LIMITER_H_
#define TENSORFERRY_SERVER_STREAM_LIMITER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "lib/sync/mutex.h"
#include "server/stream/clock.h"
#include "server/stream/in_flight_bytes.h"
#include "server/stream/options.h"

namespace tensorferry::server {

// Enforces the limits of a server's streams: refuses streams beyond them, and cuts off streams that take too long.
// Safe for concurrent use by multiple threads.
class StreamLimiter {
 public:
  // A running stream, as the limiter sees it.
  class Stream {
   public:
    virtual ~Stream() = default;
    // Ends the stream if it exceeds the limits at `now`. Returns true if it did.
    virtual bool CutOff(const StreamLimits& limits, SteadyTime now) = 0;
    // Ends the stream with `error` after the write in flight, unless it ends already.
    virtual void End(const absl::Status& error) = 0;
  };

  // Counts a stream until it is destroyed. Must not outlive the limiter.
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

  // Sweeps every second on a thread of its own.
  explicit StreamLimiter(const StreamLimits& limits, SteadyClock clock = SystemSteadyClock());
  StreamLimiter(const StreamLimiter&) = delete;
  StreamLimiter& operator=(const StreamLimiter&) = delete;
  ~StreamLimiter();

  // Errors: RESOURCE_EXHAUSTED with a retry delay: there are too many streams, or they hold too much data.
  absl::StatusOr<Ticket> Admit();

  // Counts the data of all streams. May outlive the limiter.
  const std::shared_ptr<InFlightBytes>& in_flight_bytes() const { return in_flight_bytes_; }
  // Returns true if the streams hold half of the data that they may hold: each should keep few messages ready.
  bool ShortOfMemory() const;

  // Adds a stream to those that Sweep and EndAll visit, until it is destroyed.
  void Watch(std::weak_ptr<Stream> stream);
  // Cuts off the streams that exceed the limits now.
  void Sweep();
  // Ends all running streams.
  void EndAll(const absl::Status& error);

  // The number of streams that have not ended. A caller that reads 0 sees all their effects.
  long active() const { return active_; }

 private:
  std::vector<std::shared_ptr<Stream>> Running();

  const StreamLimits limits_;
  const SteadyClock clock_;
  const std::shared_ptr<InFlightBytes> in_flight_bytes_ = std::make_shared<InFlightBytes>();
  std::atomic<long> active_ = 0;
  Mutex mutex_;
  std::vector<std::weak_ptr<Stream>> streams_ ABSL_GUARDED_BY(mutex_);
  absl::Notification stopping_;
  std::thread thread_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_LIMITER_H_
