// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_SENDER_H_
#define TENSORFERRY_SERVER_STREAM_SENDER_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/sync/mutex.h"
#include "server/metrics/metrics.h"
#include "server/rpc/stream_writer.h"
#include "server/stream/buffer_pool.h"
#include "server/stream/clock.h"
#include "server/stream/confirmation.h"
#include "server/stream/in_flight_bytes.h"
#include "server/stream/limiter.h"
#include "server/stream/message_maker.h"
#include "server/stream/options.h"
#include "server/stream/stream_plan.h"
#include "server/stream/worker_pool.h"

namespace tensorferry::server {

// Resources that all streams of a server share.
struct StreamResources {
  IoMode io = IoMode::kMmap;
  std::shared_ptr<BufferPool> buffers;
  // Buffers of one block, for streams of checksums.
  std::shared_ptr<BufferPool> block_buffers;
  std::shared_ptr<InFlightBytes> in_flight_bytes;
  // Make messages that have to wait for the disk.
  WorkerPool* workers = nullptr;
  // Ends streams when gRPC has released their data. Not the workers: all of them may be waiting for disks.
  WorkerPool* releases = nullptr;
  StreamLimiter* limiter = nullptr;
  Metrics* metrics = nullptr;
  SteadyClock clock = SystemSteadyClock();
};

// Sends a plan to a client, with one write in flight. A message that is ready in memory is made when it is due. Others
// are made ahead by a worker, a few at a time, because waking a worker takes as long as making a message. The stream
// succeeds when all of its data is confirmed (confirmation.h).
//
// | state      | meaning                               | leaves it for                                    |
// |------------|---------------------------------------|--------------------------------------------------|
// | kSending   | messages are left to make             | kFlushing: the last message was made             |
// | kFlushing  | messages are left to write            | kReleasing: the last write is done               |
// | kReleasing | gRPC holds data                       | kFinishing: all data is confirmed                |
// | kFailing   | an error waits for the write and the  | kFinishing: both are done                        |
// |            | worker in flight                      |                                                  |
// | kFinishing | the status is on its way to gRPC      | kAnswering: with the last confirmation           |
// |            |                                       | kDone: the call has ended                        |
// | kAnswering | the last message and the status are   | kDone: the call has ended                        |
// |            | with gRPC                             |                                                  |
// | kDone      | the call is about to go               |                                                  |
//
// - Any error, the client's cancellation, CutOff and End lead from kSending, kFlushing and kReleasing to kFailing.
// - A stream that is small and in the page cache begins in kSending and goes to kAnswering at once.
// - A stream can be cut off in every state in which gRPC may wait for the client, even after an error.
class Sender final : public StreamWriter::Reactor,
                     public StreamLimiter::Stream,
                     public std::enable_shared_from_this<Sender> {
 public:
  // Starts to answer a call. Self-owning: deletes itself when the call ends. `resources` must outlive it.
  static void Start(StreamPlan plan, StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamWriter& call,
                    const StreamResources& resources);

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);
  bool CutOff(const StreamLimits& limits, SteadyTime now) override ABSL_LOCKS_EXCLUDED(mutex_);
  void End(const absl::Status& error) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Permission of a thread to wait for a file system.
  enum class Wait : char { kMay, kMayNot };

  enum class State : char { kSending, kFlushing, kReleasing, kFailing, kFinishing, kAnswering, kDone };

  // The part of a step that must be done without the lock, because gRPC may call back from within.
  struct Action {
    bool prepare = false;
    const grpc::ByteBuffer* write = nullptr;
    bool more_follows = false;  // after `write`, soon
    bool finish = false;
    absl::Status status;  // to finish with
    std::int64_t confirmed_bytes = 0;
    bool again = false;  // another step is due
  };

  Sender(StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamWriter& call, const StreamResources& resources);

  // Returns true in the states that an error can end.
  bool IsRunning() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return state_ <= State::kReleasing; }
  // The number of messages that may wait to be written. More are prepared when half as many wait.
  // Few large messages: each comes before the confirmation that follows it, and 16 MiB without one are the limit.
  std::size_t MaxReady() const { return limiter_.ShortOfMemory() || chunk_bytes_ > (1 << 20) ? 1 : 3; }

  // Does everything that is due. With kMayNot, it does not wait for files: another thread confirms data.
  void Advance(Wait wait) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes the next step of the state machine. Does not wait.
  Action Step() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Do(const Action& action) ABSL_LOCKS_EXCLUDED(mutex_);
  // Checks the files of released windows and confirms their data.
  void Confirm() ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes messages until enough wait. Runs on a worker.
  void Prepare() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Message> MakeMessage(std::int64_t confirmed_bytes);
  void AddReady(absl::StatusOr<Message> message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fail(const absl::Status& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sends the last message together with the status OK, unless the stream was ended before.
  void Answer(Message message, State expected) ABSL_LOCKS_EXCLUDED(mutex_);
  void Finish(const absl::Status& status);

  const StreamLimiter::Ticket ticket_;  // the first member, so that it is destroyed last
  RpcMetrics::Call count_ ABSL_GUARDED_BY(mutex_);
  StreamWriter& call_;
  const IoMode io_;
  WorkerPool& workers_;
  WorkerPool& releases_;
  const StreamLimiter& limiter_;
  Metrics& metrics_;
  const SteadyClock clock_;
  const SteadyTime started_;
  const std::size_t chunk_bytes_;
  std::shared_ptr<Sender> self_;
  std::shared_ptr<ReleasedWindows> released_;  // null if windows are not tracked
  // Used by Prepare, of which one runs at a time, and otherwise with mutex_ held.
  std::optional<MessageMaker> maker_;

  Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kSending;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool preparing_ ABSL_GUARDED_BY(mutex_) = false;  // a worker makes messages
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;    // a write is in flight
  bool is_cut_ ABSL_GUARDED_BY(mutex_) = false;     // by CutOff
  Confirmations confirmations_ ABSL_GUARDED_BY(mutex_);
  std::deque<Message> ready_ ABSL_GUARDED_BY(mutex_);
  Message written_ ABSL_GUARDED_BY(mutex_);  // must live until OnWriteDone
  SteadyTime write_started_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_SENDER_H_
