// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/request_planner.h"

#include <algorithm>
#include <utility>

#include "lib/wire/proto_conversion.h"

namespace tensorferry {
namespace {

// The smallest lane that is worth a connection.
constexpr std::int64_t kMinLaneBytes = 4 << 20;
// The size of a plan after which the next read begins a new one. A server accepts plans of up to 4 MiB.
constexpr std::size_t kMaxPlanBytes = 2 << 20;

// Puts ranges of reads into RPCs, and begins a new RPC when the last one is too large.
class LaneBuilder {
 public:
  LaneBuilder(std::string_view model, const std::string& generation, std::span<const Read> reads)
      : model_(model), generation_(generation), reads_(reads) {}

  // Adds the bytes [begin, end) of the result, which are in `range`.
  void Add(const ReadRange& range, std::int64_t begin, std::int64_t end) {
    const Read& read = reads_[range.read];
    if (plan_ == nullptr || plan_bytes_ > kMaxPlanBytes) {
      Flush();
      plan_bytes_ = 0;
      plan_ = std::make_unique<v1::GetTensorsRequest>();
      plan_->set_model(std::string(model_));
      plan_->set_generation(generation_);
    }
    v1::Read& message = *plan_->add_reads();
    message.set_tensor(read.tensor);
    if (read.slice) *message.mutable_slice() = wire::ToProto(*read.slice);
    message.set_read_offset(begin);
    message.set_read_limit(end - begin);
    plan_bytes_ += message.ByteSizeLong();
    current_.parts.push_back({.name = read.tensor,
                              .begin = begin,
                              .end = end,
                              .result_bytes = range.result_bytes,
                              .memory = range.memory,
                              .sink = range.sink,
                              .deferred = range.deferred});
    current_.reads.push_back(range.read);
  }

  Lane Take() {
    Flush();
    return std::exchange(lane_, {});
  }

 private:
  void Flush() {
    if (plan_ == nullptr) return;
    current_.method = "GetTensors";
    current_.message = std::move(plan_);
    lane_.push_back(std::exchange(current_, {}));
  }

  const std::string_view model_;
  const std::string& generation_;
  const std::span<const Read> reads_;
  std::unique_ptr<v1::GetTensorsRequest> plan_;  // the reads since the last Flush; null if there are none
  std::size_t plan_bytes_ = 0;
  StreamRequest current_;
  Lane lane_;
};

}  // namespace

std::vector<Lane> PlanFetch(std::string_view model, const std::string& generation, std::span<const Read> reads,
                            std::span<const ReadRange> ranges, int connections) {
  std::int64_t total = 0;
  for (const ReadRange& range : ranges) total += range.end - range.begin;
  const std::int64_t lane_bytes = std::max(kMinLaneBytes, total / connections + (total % connections != 0 ? 1 : 0));
  std::vector<Lane> lanes;
  LaneBuilder builder(model, generation, reads);
  std::int64_t room = lane_bytes;
  for (const ReadRange& range : ranges) {
    std::int64_t begin = range.begin;
    do {
      // An empty range stays in the lane of the previous one: it is not worth a connection.
      if (room == 0 && begin < range.end) {
        lanes.push_back(builder.Take());
        room = lane_bytes;
      }
      // A range whose result is not described yet cannot be divided.
      const std::int64_t size = range.end - begin;
      const std::int64_t end = range.deferred != nullptr ? range.end : begin + std::min(size, room);
      builder.Add(range, begin, end);
      room -= std::min(end - begin, room);
      begin = end;
    } while (begin < range.end);
  }
  if (Lane last = builder.Take(); !last.empty()) lanes.push_back(std::move(last));
  return lanes;
}

StreamRequest PlanFileFetch(std::string_view model, std::string_view file, const std::string& generation,
                            std::int64_t offset, std::int64_t size_bytes) {
  auto request = std::make_unique<v1::GetFileRequest>();
  request->set_model(std::string(model));
  request->set_file(std::string(file));
  request->set_generation(generation);
  request->set_read_offset(offset);
  request->set_read_limit(size_bytes);
  StreamRequest stream;
  stream.method = "GetFile";
  stream.message = std::move(request);
  stream.parts.push_back(
      {.name = file, .is_file = true, .begin = offset, .end = offset + size_bytes, .origin = offset});
  stream.reads.push_back(0);
  return stream;
}

std::unique_ptr<google::protobuf::Message> RequestForRanges(const StreamRequest& request,
                                                            std::span<const RemainingRange> ranges,
                                                            const std::string& generation, bool checksums_only) {
  if (const auto* file = google::protobuf::DynamicCastToGenerated<v1::GetFileRequest>(request.message.get())) {
    auto message = std::make_unique<v1::GetFileRequest>(*file);
    message->set_generation(generation);
    message->set_read_offset(ranges.front().begin);
    message->set_read_limit(ranges.front().size_bytes);
    message->set_checksums_only(checksums_only);
    return message;
  }
  const auto& plan = static_cast<const v1::GetTensorsRequest&>(*request.message);
  auto message = std::make_unique<v1::GetTensorsRequest>();
  message->set_model(plan.model());
  message->set_generation(generation);
  message->set_checksums_only(checksums_only);
  message->mutable_reads()->Reserve(static_cast<int>(ranges.size()));
  for (const RemainingRange& range : ranges) {
    v1::Read& read = *message->add_reads();
    read = plan.reads(static_cast<int>(range.part));
    read.set_read_offset(range.begin);
    read.set_read_limit(range.size_bytes);
  }
  return message;
}

}  // namespace tensorferry
