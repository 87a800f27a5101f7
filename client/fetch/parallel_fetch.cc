// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/parallel_fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

#include "client/channel/call_error.h"
#include "client/channel/retry_loop.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

// The time that a failed fetch waits for data on its way to a device, which may be stuck.
constexpr absl::Duration kMaxAbandonTime = absl::Seconds(1);
// The size of the first request for a result of unknown size. Results up to this size take one RPC.
constexpr std::int64_t kFirstRangeBytes = 16 << 20;
// The longest time between two progress reports while the first lane has ended and others run.
constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

}  // namespace

ParallelFetch::ParallelFetch(const FetchChannels& channels, const Retry& retry, std::string_view model,
                             std::span<const Read> reads, const FetchOptions& options,
                             ReadTracker::OnDone on_read_confirmed)
    : channels_(channels),
      model_(model),
      reads_(reads),
      state_(options, retry, reads.size(), std::move(on_read_confirmed)) {}

absl::StatusOr<FetchResult> ParallelFetch::Run() {
  absl::Status status = Fill();
  if (status.ok()) {
    state_.ReportProgress();
    FetchResult result{.generation = state_.RequiredGeneration(), .reads = {}};
    result.reads.resize(reads_.size());
    for (const std::unique_ptr<ResumingRead>& stream : streams_) {
      const std::vector<ReadResult>& results = stream->assembler().results();
      for (std::size_t i = 0; i < results.size(); ++i) result.reads[stream->request().reads[i]] = results[i];
    }
    return result;
  }
  Fail(status);
  AbandonSinks();
  const MutexLock lock(&mutex_);
  return state_.ExplainError(status_);
}

absl::Status ParallelFetch::RunFile(StreamRequest request, const Destination& into) {
  if (absl::Status status = FillFile(std::move(request), into); !status.ok()) {
    AbandonSinks();
    return state_.ExplainError(status);
  }
  state_.ReportProgress();
  return absl::OkStatus();
}

absl::Status ParallelFetch::FillFile(StreamRequest request, const Destination& into) {
  Target target;
  if (absl::Status status = OpenTarget(into, target); !status.ok()) return status;
  ExpectedPart& part = request.parts.front();
  part.memory = target.memory;
  if (target.sink != nullptr) part.sink = target.sink->sink();
  state_.AddTotal(target.size_bytes);
  std::vector<Lane> lanes(1);
  lanes.front().push_back(std::move(request));
  if (absl::Status status = RunLanes(std::move(lanes)); !status.ok()) return status;
  return FinishSinks();
}

void ParallelFetch::AbandonSinks() {
  const absl::Time until = absl::Now() + kMaxAbandonTime;
  for (SinkRun* sink : Sinks()) sink->Abandon(until);
}

absl::Status ParallelFetch::FinishRead(std::size_t read) {
  SinkRun* const sink = targets_[read].sink;
  return sink == nullptr ? absl::OkStatus() : sink->Finish();
}

absl::Status ParallelFetch::Fill() {
  if (absl::Status status = OpenTargets(); !status.ok()) return status;
  if (absl::Status status = RunRanges(FirstRanges(), /*is_rest=*/false); !status.ok()) return status;
  if (deferred_count_ > 0) {
    if (absl::Status status = RunRanges(RemainingRanges(), /*is_rest=*/true); !status.ok()) return status;
  }
  if (absl::Status status = CompareInstances(); !status.ok()) return status;
  state_.tracker().AllCompared();
  return FinishSinks();
}

absl::Status ParallelFetch::OpenTargets() {
  targets_.resize(reads_.size());
  for (std::size_t i = 0; i < reads_.size(); ++i) {
    const Destination& into = reads_[i].into;
    if (reads_[i].slice && !reads_[i].slice->error.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("read {} ({}): {}", i, Quote(reads_[i].tensor), reads_[i].slice->error));
    }
    if (into.choose() != nullptr) {
      targets_[i].choose = std::make_unique<Destination::Choose>(
          [this, i](const ReadResult& result) { return ChooseTarget(i, result); });
      ++deferred_count_;
      continue;
    }
    if (into.empty()) {
      return absl::InvalidArgumentError(fmt::format("read {} ({}) has no destination", i, Quote(reads_[i].tensor)));
    }
    if (absl::Status status = OpenTarget(into, targets_[i]); !status.ok()) {
      return absl::Status(status.code(),
                          fmt::format("read {} ({}): {}", i, Quote(reads_[i].tensor), std::string(status.message())));
    }
  }
  return absl::OkStatus();
}

absl::Status ParallelFetch::OpenTarget(const Destination& destination, Target& target) {
  target.size_bytes = destination.size_bytes();
  target.memory = destination.memory();
  if (destination.is_memory()) return absl::OkStatus();
  Sink* sink = destination.sink();
  std::unique_ptr<Sink> owned;
  if (sink == nullptr) {
    absl::StatusOr<std::unique_ptr<Sink>> opened = (*destination.open_sink())();
    if (!opened.ok()) return opened.status();
    owned = *std::move(opened);
    sink = owned.get();
  }
  const absl::StatusOr<SinkRun*> added = AddSink(sink, std::move(owned));
  if (!added.ok()) return added.status();
  target.sink = *added;
  return absl::OkStatus();
}

absl::StatusOr<SinkRun*> ParallelFetch::AddSink(Sink* sink, std::unique_ptr<Sink> owned) {
  SinkRun* added = nullptr;
  {
    const MutexLock lock(&mutex_);
    if (!known_sinks_.insert(sink).second) return absl::InvalidArgumentError("another read has the same sink");
    added = &sinks_.emplace_back(sink, std::move(owned));
  }
  if (absl::Status status = sink->Begin(limits()); !status.ok()) return status;
  return added;
}

absl::StatusOr<Destination> ParallelFetch::ChooseTarget(std::size_t read, const ReadResult& result) {
  const absl::StatusOr<Destination> chosen = (*reads_[read].into.choose())(result);
  if (!chosen.ok()) return chosen.status();
  if (chosen->empty() || chosen->choose() != nullptr) {
    return absl::InvalidArgumentError(
        fmt::format("the destination chosen for {} is none, or deferred again", Quote(result.name)));
  }
  Target& target = targets_[read];
  if (absl::Status status = OpenTarget(*chosen, target); !status.ok()) return status;
  state_.AddTotal(target.size_bytes);
  return target.sink == nullptr ? Destination(target.memory) : Destination(target.sink->sink());
}

std::int64_t ParallelFetch::FirstRangeBytes() const {
  // If the results will be spread over connections, the first request asks for their description only.
  return deferred_count_ == 1 && channels_.connections_for(kFirstRangeBytes) == 1 ? kFirstRangeBytes : 0;
}

std::vector<ReadRange> ParallelFetch::FirstRanges() const {
  std::vector<ReadRange> ranges;
  ranges.reserve(reads_.size());
  for (std::size_t i = 0; i < reads_.size(); ++i) {
    const Target& target = targets_[i];
    if (target.choose != nullptr) {
      ranges.push_back({.read = i, .begin = 0, .end = FirstRangeBytes(), .deferred = target.choose.get()});
    } else {
      ranges.push_back({.read = i,
                        .begin = 0,
                        .end = target.size_bytes,
                        .result_bytes = target.size_bytes,
                        .memory = target.memory,
                        .sink = target.sink == nullptr ? nullptr : target.sink->sink()});
    }
  }
  return ranges;
}

std::vector<ReadRange> ParallelFetch::RemainingRanges() const {
  const std::int64_t begin = FirstRangeBytes();
  std::vector<ReadRange> ranges;
  for (std::size_t i = 0; i < reads_.size(); ++i) {
    const Target& target = targets_[i];
    if (target.choose == nullptr || target.size_bytes <= begin) continue;
    ranges.push_back({.read = i,
                      .begin = begin,
                      .end = target.size_bytes,
                      .result_bytes = target.size_bytes,
                      .memory = target.memory,
                      .sink = target.sink == nullptr ? nullptr : target.sink->sink()});
  }
  return ranges;
}

absl::Status ParallelFetch::RunRanges(const std::vector<ReadRange>& ranges, bool is_rest) {
  std::int64_t total = 0;
  for (const ReadRange& range : ranges) {
    total += range.end - range.begin;
    // The size of a deferred read is added when its destination is chosen.
    if (targets_[range.read].choose == nullptr) state_.AddTotal(range.end - range.begin);
  }
  std::vector<Lane> lanes =
      PlanFetch(model_, state_.RequiredGeneration(), reads_, ranges, channels_.connections_for(total));
  for (const Lane& lane : lanes) {
    for (const StreamRequest& request : lane) {
      for (const std::size_t read : request.reads) state_.tracker().AddPart(read);
    }
  }
  for (std::size_t i = 0; i < reads_.size(); ++i) {
    if ((targets_[i].choose != nullptr) == is_rest) state_.tracker().EndParts(i);
  }
  return RunLanes(std::move(lanes));
}

absl::Status ParallelFetch::RunLanes(std::vector<Lane> lanes) {
  // A fast stream may end before gRPC's timer notices a deadline in the past.
  if (absl::Now() >= state_.deadline()) return absl::DeadlineExceededError("before the request");
  std::vector<std::span<const std::unique_ptr<ResumingRead>>> runs;
  const std::size_t first = streams_.size();
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    for (StreamRequest& request : lanes[i]) {
      streams_.push_back(std::make_unique<ResumingRead>(std::move(request), *channels_.channels[i], state_));
    }
  }
  std::size_t begin = first;
  for (const Lane& lane : lanes) {
    runs.push_back(std::span(streams_).subspan(begin, lane.size()));
    begin += lane.size();
  }
  {
    const MutexLock lock(&mutex_);
    lanes_running_ = runs.size();
  }
  std::vector<std::jthread> threads;
  for (std::size_t i = 1; i < runs.size(); ++i) {
    try {
      threads.emplace_back([this, lane = runs[i]] { RunLane(lane, /*report_progress=*/false); });
    } catch (const std::system_error& error) {
      Fail(absl::ResourceExhaustedError(fmt::format("cannot start a thread for connection {}: {}", i, error.what())));
      const MutexLock lock(&mutex_);
      lanes_running_ -= runs.size() - i;
      break;
    }
  }
  if (!runs.empty()) RunLane(runs.front(), /*report_progress=*/true);
  while (true) {
    {
      const MutexLock lock(&mutex_);
      if (lanes_running_ > 0) lane_ended_.WaitWithTimeout(&mutex_, kProgressInterval);
      if (lanes_running_ == 0) return status_;
    }
    state_.ReportProgress();
  }
}

void ParallelFetch::RunLane(std::span<const std::unique_ptr<ResumingRead>> lane, bool report_progress) {
  for (const std::unique_ptr<ResumingRead>& stream : lane) {
    if (const absl::Status status = stream->Run(report_progress); !status.ok()) {
      Fail(status);
      break;
    }
  }
  const MutexLock lock(&mutex_);
  --lanes_running_;
  lane_ended_.Signal();
}

absl::Status ParallelFetch::CompareInstances() {
  const auto all_from = [this](const std::string& instance) {
    return std::ranges::all_of(streams_, [&](const auto& stream) {
      return stream->instance() == instance || stream->assembler().received_bytes() == 0;
    });
  };
  if (streams_.empty() || all_from(streams_.front()->instance())) return absl::OkStatus();
  RetryLoop retry(state_.retry(), state_.deadline(), state_.stop_token(),
                  [this](const absl::Status& status, absl::Duration delay) { state_.ReportRetry(status, delay); });
  FailoverChannel& channel = *channels_.channels.front();
  // The first channel is probably still connected to the server of its last bytes, which also sent most of the others.
  // Otherwise, any instance that has all bytes is good.
  std::string instance;
  for (const std::unique_ptr<ResumingRead>& stream : streams_) {
    if (&stream->channel() == &channel) instance = stream->instance();
  }
  for (bool any_instance = false; true; any_instance = true) {
    const std::shared_ptr<Connection> connection = channel.Current();
    absl::Status status;
    for (const std::unique_ptr<ResumingRead>& stream : streams_) {
      if (stream->instance() == instance) continue;
      status = stream->CompareAt(*connection, instance);
      if (!status.ok()) break;
    }
    if (status.ok()) return status;
    instance.clear();
    if (!any_instance && !absl::IsAborted(status)) continue;
    status = NameServer(*connection, status);
    if (!state_.stop_token().stop_requested()) channel.MoveOn(connection, status);
    if (absl::Status given_up = retry.WaitAfter(status); !given_up.ok()) return given_up;
  }
}

absl::Status ParallelFetch::FinishSinks() {
  for (SinkRun* sink : Sinks()) {
    if (absl::Status status = sink->Finish(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::vector<SinkRun*> ParallelFetch::Sinks() {
  const MutexLock lock(&mutex_);
  std::vector<SinkRun*> sinks;
  sinks.reserve(sinks_.size());
  for (SinkRun& sink : sinks_) sinks.push_back(&sink);
  return sinks;
}

void ParallelFetch::Fail(const absl::Status& status) {
  {
    const MutexLock lock(&mutex_);
    // Later failures are only consequences of the stop.
    if (status_.ok()) status_ = status;
  }
  state_.Stop();
}

}  // namespace tensorferry
