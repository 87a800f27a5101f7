// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_CHUNK_STREAM_H_
#define TENSORFERRY_SERVER_STREAM_CHUNK_STREAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/metrics/metrics.h"
#include "server/rpc/stream_call.h"
#include "server/stream/chunk_source.h"
#include "server/stream/limiter.h"
#include "server/stream/worker_pool.h"

namespace tensorferry::server {

// What all streams of a server share.
struct StreamResources {
  IoMode io = IoMode::kMmap;
  std::shared_ptr<BufferPool> buffers;
  // Of one block each, for streams of checksums.
  std::shared_ptr<BufferPool> block_buffers;
  std::shared_ptr<InFlightBytes> in_flight_bytes;
  WorkerPool* workers = nullptr;
  // Does what is due when gRPC has let go of a stream's data. Not the workers: all of them may be waiting for disks,
  // and what is in memory must not wait with them.
  WorkerPool* releases = nullptr;
  StreamLimiter* registry = nullptr;
  Metrics* metrics = nullptr;
};

// Sends a plan to a client, with one write in flight. What is in memory as it has to be sent is put into messages when
// it is due; other messages are prepared meanwhile by the workers, a few at a time, because waking a worker takes as
// long as preparing a message. Data is confirmed to the client window by window, when gRPC has released it and its
// files have been found unchanged after that: before, a change to a file could still reach the client as part of a
// result that looks whole. The stream succeeds when all windows are confirmed. What is small and in the page cache is
// copied, checked, and sent with its confirmation and status.
class ChunkStream final : public StreamCall::Reactor,
                          public StreamLimiter::Stream,
                          public std::enable_shared_from_this<ChunkStream> {
 public:
  // Starts the answer to a call. It belongs to itself until the call has ended. `resources` must outlive it.
  static void Start(StreamPlan plan, StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamCall& call,
                    const StreamResources& resources);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  bool CutOff(const StreamLimits& limits, StreamLimiter::Clock::time_point now) override;
  void End(const absl::Status& error) override;

 private:
  using Message = ChunkSource::Message;

  ChunkStream(StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamCall& call, const StreamResources& resources);

  // What is up to this large, and all in the page cache, is copied and answered at once: no wait for others that read
  // from the disk, no hand-over to a worker, and none when gRPC has let go of it.
  static constexpr std::int64_t kMaxCachedBytes = 64 << 10;
  static constexpr std::size_t kMaxCachedReads = 64;
  // Of slices: for each, much that lies around it may have to be read.
  static constexpr std::int64_t kMaxCachedRuns = 8;

  // How many messages wait to be written at most; at half as many more are prepared.
  std::size_t MaxReady() const { return registry_.ShortOfMemory() ? 1 : 3; }

  // All of the answer in one message, if it is small and in the page cache.
  static std::optional<Message> CopyFromCache(const StreamPlan& plan, const StreamResources& resources);
  // Sends that.
  void Answer(Message message);
  // Sends the last confirmation with the status.
  void ConfirmAndFinish(std::int64_t size_bytes);
  // A window was released: checks its files.
  void OnReleased(const SentWindow::Contents& window);
  // Makes messages until enough wait.
  void Prepare();
  absl::StatusOr<Message> NextMessage();
  // The number of bytes that the next message may confirm; 0: none that were not confirmed before. With mutex_ held.
  std::int64_t NextConfirmation();
  // Lets another worker bring in what later messages will need, while this thread makes the next.
  void ReadAhead();
  // With mutex_ held.
  void AddReady(absl::StatusOr<Message> message);
  // Does what is due next, if anything is.
  void Advance();
  void Finish(const absl::Status& status);

  const StreamLimiter::Ticket ticket_;  // the first member, so that it is the last to go
  RpcMetrics::Call count_;
  StreamCall& call_;
  WorkerPool& workers_;
  const StreamLimiter& registry_;
  Metrics& metrics_;
  const StreamLimiter::Clock::time_point started_ = StreamLimiter::Clock::now();
  const std::size_t chunk_bytes_;
  std::shared_ptr<ChunkStream> self_;
  std::atomic<bool> reading_ahead_ = false;
  std::optional<ChunkSource> source_;  // used by Prepare, of which one runs at a time, otherwise with mutex_ held

  std::mutex mutex_;  // guards what follows
  absl::Status status_;
  bool preparing_ = false;
  bool writing_ = false;
  bool source_done_ = false;
  std::map<std::int64_t, std::int64_t> released_;  // windows that came before an earlier one: index, end
  std::int64_t next_window_ = 0;                   // the first that was not released
  std::int64_t window_count_ = -1;                 // once the last was released
  std::int64_t confirmed_bytes_ = 0;               // of the data, from its beginning
  std::int64_t told_bytes_ = 0;                    // that a message says are confirmed
  bool all_released_ = false;                      // gRPC holds no data any more
  bool finished_ = false;
  bool answered_ = false;                           // all at once: the last step was taken, but maybe not by the client
  bool done_ = false;                               // and the call is about to go
  StreamLimiter::Clock::time_point write_started_;  // of the write that is in flight
  std::deque<Message> ready_;
  Message written_;  // must stay until OnWriteDone
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_CHUNK_STREAM_H_
