// SPDX-License-Identifier: Apache-2.0
#include "client/fetch_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "lib/wire/proto_conversion.h"
#include "tensorferry/quote.h"

namespace tensorferry {
namespace {

// Less than this is not worth a connection of its own.
constexpr std::int64_t kMinLaneBytes = 4 << 20;
// A server takes plans of up to 4 MiB.
constexpr std::size_t kMaxRequestBytes = 2 << 20;

// Puts parts of reads into RPCs, a new one whenever the last has become too large.
class LaneBuilder {
 public:
  LaneBuilder(std::string_view model, const std::string& generation, std::span<const Read> reads)
      : model_(model), generation_(generation), reads_(reads) {}

  void Add(std::size_t index, std::int64_t begin, std::int64_t end) {
    const Read& read = reads_[index];
    if (plan_ == nullptr || request_bytes_ > kMaxRequestBytes) {
      Flush();
      request_bytes_ = 0;
      plan_ = Request<v1::GetTensorsRequest>();
    }
    v1::Read& message = *plan_->add_reads();
    message.set_tensor(read.tensor);
    if (read.slice) *message.mutable_slice() = wire::ToProto(*read.slice);
    message.set_read_offset(begin);
    // 0 would mean everything: nothing is asked for only where the result is empty.
    message.set_read_limit(end - begin);
    request_bytes_ += message.ByteSizeLong();
    current_.parts.push_back({.name = read.tensor,
                              .begin = begin,
                              .end = end,
                              .result_bytes = read.destination->size_bytes(),
                              .destination = read.destination});
    current_.reads.push_back(index);
  }

  Lane Take() {
    Flush();
    return std::exchange(lane_, {});
  }

 private:
  void Flush() {
    if (plan_ == nullptr) return;
    const v1::Read& first = plan_->reads(0);
    if (plan_->reads_size() > 1) {
      current_.method = "GetTensors";
      current_.message = std::move(plan_);
    } else if (first.has_slice()) {
      current_.method = "GetSlice";
      auto request = RequestFor<v1::GetSliceRequest>(first);
      *request->mutable_slice() = first.slice();
      current_.message = std::move(request);
    } else {
      current_.method = "GetTensor";
      current_.message = RequestFor<v1::GetTensorRequest>(first);
    }
    plan_.reset();
    lane_.push_back(std::exchange(current_, {}));
  }

  template <typename Message>
  std::unique_ptr<Message> Request() const {
    auto request = std::make_unique<Message>();
    request->set_model(std::string(model_));
    request->set_generation(generation_);
    return request;
  }

  template <typename Message>
  std::unique_ptr<Message> RequestFor(const v1::Read& read) const {
    auto request = Request<Message>();
    request->set_tensor(read.tensor());
    request->set_read_offset(read.read_offset());
    request->set_read_limit(read.read_limit());
    return request;
  }

  const std::string_view model_;
  const std::string& generation_;
  const std::span<const Read> reads_;
  std::unique_ptr<v1::GetTensorsRequest> plan_;  // what was added since the last Flush; null if nothing was
  std::size_t request_bytes_ = 0;
  StreamRequest current_;
  Lane lane_;
};

// `message` is a request for one read or a v1::Read.
template <typename Message>
void LimitTo(const RemainingRange& range, Message& message) {
  message.set_read_offset(range.begin);
  message.set_read_limit(range.size_bytes);
}

template <typename Message>
std::unique_ptr<Message> ResumeOne(const Message& request, const RemainingRange& range, const std::string& generation) {
  auto message = std::make_unique<Message>(request);
  message->set_generation(generation);
  LimitTo(range, *message);
  return message;
}

}  // namespace

absl::StatusOr<std::vector<Lane>> PlanFetch(std::string_view model, const std::string& generation,
                                            std::span<const Read> reads, int connections) {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    if (reads[i].destination == nullptr) {
      return absl::InvalidArgumentError(fmt::format("read {} ({}) has no destination", i, Quote(reads[i].tensor)));
    }
    total += reads[i].destination->size_bytes();
  }
  const std::int64_t lane_bytes = std::max(kMinLaneBytes, total / connections + (total % connections != 0 ? 1 : 0));
  std::vector<Lane> lanes;
  LaneBuilder builder(model, generation, reads);
  std::int64_t room = lane_bytes;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    const std::int64_t size = reads[i].destination->size_bytes();
    std::int64_t begin = 0;
    do {
      // An empty read goes along with what is before it: it is worth no connection of its own.
      if (room == 0 && begin < size) {
        lanes.push_back(builder.Take());
        room = lane_bytes;
      }
      const std::int64_t end = begin + std::min(size - begin, room);
      builder.Add(i, begin, end);
      room -= end - begin;
      begin = end;
    } while (begin < size);
  }
  if (Lane last = builder.Take(); !last.empty()) lanes.push_back(std::move(last));
  return lanes;
}

StreamRequest PlanFileFetch(std::string_view model, std::string_view file, const std::string& generation,
                            std::int64_t offset, Destination& destination) {
  auto request = std::make_unique<v1::GetFileRequest>();
  request->set_model(std::string(model));
  request->set_file(std::string(file));
  request->set_generation(generation);
  request->set_read_offset(offset);
  request->set_read_limit(destination.size_bytes());
  StreamRequest stream;
  stream.method = "GetFile";
  stream.message = std::move(request);
  stream.parts.push_back({.name = file,
                          .is_file = true,
                          .begin = offset,
                          .end = offset + destination.size_bytes(),
                          .destination = &destination,
                          .origin = offset});
  stream.reads.push_back(0);
  return stream;
}

std::unique_ptr<google::protobuf::Message> ResumeMessage(const StreamRequest& request,
                                                         std::span<const RemainingRange> remaining,
                                                         const std::string& generation) {
  using google::protobuf::DynamicCastToGenerated;
  const google::protobuf::Message* const message = request.message.get();
  if (const auto* tensor = DynamicCastToGenerated<v1::GetTensorRequest>(message)) {
    return ResumeOne(*tensor, remaining.front(), generation);
  }
  if (const auto* slice = DynamicCastToGenerated<v1::GetSliceRequest>(message)) {
    return ResumeOne(*slice, remaining.front(), generation);
  }
  if (const auto* file = DynamicCastToGenerated<v1::GetFileRequest>(message)) {
    return ResumeOne(*file, remaining.front(), generation);
  }
  // A plan: the one request that has several reads.
  const auto& plan = static_cast<const v1::GetTensorsRequest&>(*message);
  auto resumed = std::make_unique<v1::GetTensorsRequest>();
  resumed->set_model(plan.model());
  resumed->set_generation(generation);
  resumed->mutable_reads()->Reserve(static_cast<int>(remaining.size()));
  for (const RemainingRange& range : remaining) {
    v1::Read& read = *resumed->add_reads();
    read = plan.reads(static_cast<int>(range.part));
    LimitTo(range, read);
  }
  return resumed;
}

}  // namespace tensorferry
