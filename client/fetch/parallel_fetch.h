// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_PARALLEL_FETCH_H_
#define TENSORFERRY_CLIENT_FETCH_PARALLEL_FETCH_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/channel/failover_channel.h"
#include "client/fetch/fetch_state.h"
#include "client/fetch/request_planner.h"
#include "client/fetch/resuming_read.h"
#include "client/fetch/sink_run.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// The links of a client, and how many of them a fetch uses.
struct FetchLinks {
  std::span<const std::unique_ptr<FailoverChannel>> links;
  // For a fetch of so many bytes, from 1 to the number of links.
  std::function<int(std::int64_t size_bytes)> connections_for;
};

// One fetch, from its plan to its result: spreads the reads over links, runs each lane on a thread of its own, the
// first on the calling one, and stops all of them at the first error that is final. Used once.
class ParallelFetch {
 public:
  // All must outlive it. `on_read_confirmed` is called, from any thread, for each read whose bytes are confirmed; those
  // of a sink may still be on their way to a device (FinishRead). It may be empty.
  ParallelFetch(const FetchLinks& links, const Retry& retry, std::string_view model, std::span<const Read> reads,
                const FetchOptions& options, ReadTracker::OnDone on_read_confirmed);

  // Returns when all results are complete and confirmed, or the first error.
  absl::StatusOr<FetchResult> Run();
  // The same for one request that was planned elsewhere, for a run of a file.
  absl::Status RunFile(StreamRequest request, const Destination& into);

  // Waits until a confirmed read has arrived at its destination. Safe for concurrent use.
  absl::Status FinishRead(std::size_t read);

  void Stop() { state_.Stop(); }
  // Makes the fetch fail with `status`, unless it has failed before.
  void Fail(const absl::Status& status);
  Progress progress() const { return state_.progress(); }

 private:
  // Where a read goes: memory or a sink, once that is open or chosen.
  struct Target {
    std::int64_t size_bytes = 0;
    std::span<std::byte> memory = {};
    SinkRun* sink = nullptr;
    // Not null if the read is deferred: chooses the rest when the result is described.
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
  // How much of a deferred result the first request asks for.
  std::int64_t FirstRangeBytes() const;
  // All known ranges, and the beginnings of those that are deferred.
  std::vector<ReadRange> FirstRanges() const;
  // The rest of those that were deferred.
  std::vector<ReadRange> RemainingRanges() const;
  // `is_rest`: after these, no more ranges of deferred reads come.
  absl::Status RunRanges(const std::vector<ReadRange>& ranges, bool is_rest);
  absl::Status RunLanes(std::vector<Lane> lanes);
  void RunLane(std::span<const std::unique_ptr<ResumingRead>> lane, bool report_progress);
  // If the bytes are from several instances: finds one that has them all.
  absl::Status CompareInstances();
  absl::Status FinishSinks();
  FetchLimits limits() const { return {.deadline = state_.deadline(), .stop_token = state_.stop_token()}; }

  const FetchLinks& links_;
  const std::string_view model_;
  const std::span<const Read> reads_;
  FetchState state_;
  std::vector<Target> targets_;
  std::size_t deferred_count_ = 0;
  std::vector<std::unique_ptr<ResumingRead>> streams_;  // of all lanes

  std::mutex mutex_;  // guards what follows
  std::condition_variable lane_ended_;
  std::size_t lanes_running_ = 0;
  absl::Status status_;
  std::deque<SinkRun> sinks_;  // each once
  absl::flat_hash_set<const Sink*> known_sinks_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_PARALLEL_FETCH_H_
