// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_PARALLEL_FETCH_H_
#define TENSORFERRY_CLIENT_FETCH_PARALLEL_FETCH_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/channel/failover_channel.h"
#include "client/fetch/fetch_state.h"
#include "client/fetch/request_planner.h"
#include "client/fetch/resuming_read.h"
#include "client/fetch/sink_run.h"
#include "lib/sync/mutex.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// The channels of a client, and the number of them that a fetch uses.
struct FetchChannels {
  std::span<const std::unique_ptr<FailoverChannel>> channels;
  // Returns the number for a fetch of `size_bytes`: from 1 to the number of channels.
  std::function<int(std::int64_t size_bytes)> connections_for;
};

// One fetch, from its plan to its result. Spreads the reads over lanes, one per connection. Runs the first lane on the
// calling thread, and each other one on its own thread. Stops all of them at the first final error. Used once.
class ParallelFetch {
 public:
  // All arguments must outlive this object. `on_read_confirmed` is called for each read whose bytes are confirmed, from
  // any thread. Those of a sink may still be on their way to a device (FinishRead). It may be empty.
  ParallelFetch(const FetchChannels& channels, const Retry& retry, std::string_view model, std::span<const Read> reads,
                const FetchOptions& options, ReadTracker::OnDone on_read_confirmed);

  // Returns when all results are complete and confirmed, or after the first final error.
  absl::StatusOr<FetchResult> Run();
  // Does the same for one request that was planned elsewhere, for a byte range of a file.
  absl::Status RunFile(StreamRequest request, const Destination& into);

  // Waits until a confirmed read has arrived at its destination. Safe for concurrent use.
  absl::Status FinishRead(std::size_t read);

  void Stop() { state_.Stop(); }
  // Makes the fetch fail with `status`, unless it has failed before.
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  Progress progress() const { return state_.progress(); }

 private:
  // The destination of a read: memory or a sink, once it is open or chosen.
  struct Target {
    std::int64_t size_bytes = 0;
    std::span<std::byte> memory = {};
    SinkRun* sink = nullptr;
    // Not null if the read is deferred. Chooses the members above when the result is described.
    std::unique_ptr<Destination::Choose> choose = nullptr;
  };

  absl::Status Fill();
  absl::Status FillFile(StreamRequest request, const Destination& into);
  void AbandonSinks();
  absl::Status OpenTargets();
  absl::Status OpenTarget(const Destination& destination, Target& target);
  absl::StatusOr<SinkRun*> AddSink(Sink* sink, std::unique_ptr<Sink> owned);
  // Chooses the target of a deferred read.
  absl::StatusOr<Destination> ChooseTarget(std::size_t read, const ReadResult& result);
  // Returns the bytes of a deferred result that the first request asks for.
  std::int64_t FirstRangeBytes() const;
  // Returns the ranges of all known sizes, and the first range of each deferred read.
  std::vector<ReadRange> FirstRanges() const;
  // Returns the rest of the deferred reads.
  std::vector<ReadRange> RemainingRanges() const;
  // Fetches `ranges`. `is_rest`: these are the last ranges of deferred reads.
  absl::Status RunRanges(const std::vector<ReadRange>& ranges, bool is_rest);
  absl::Status RunLanes(std::vector<Lane> lanes);
  void RunLane(std::span<const std::unique_ptr<ResumingRead>> lane, bool report_progress) ABSL_LOCKS_EXCLUDED(mutex_);
  // Finds an instance that has all bytes, if they are from several instances.
  absl::Status CompareInstances();
  absl::Status FinishSinks();
  // Returns the sinks that were added so far. They stay valid.
  std::vector<SinkRun*> Sinks() ABSL_LOCKS_EXCLUDED(mutex_);
  FetchLimits limits() const { return {.deadline = state_.deadline(), .stop_token = state_.stop_token()}; }

  const FetchChannels& channels_;
  const std::string_view model_;
  const std::span<const Read> reads_;
  FetchState state_;
  std::vector<Target> targets_;
  std::size_t deferred_count_ = 0;
  std::vector<std::unique_ptr<ResumingRead>> streams_;  // of all lanes

  Mutex mutex_;
  CondVar lane_ended_;
  std::size_t lanes_running_ ABSL_GUARDED_BY(mutex_) = 0;
  // The first error.
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  // Each sink once.
  std::deque<SinkRun> sinks_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<const Sink*> known_sinks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_PARALLEL_FETCH_H_
