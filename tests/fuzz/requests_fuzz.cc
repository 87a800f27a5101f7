// SPDX-License-Identifier: Apache-2.0
// The input is a request as a client might send it: a byte for the method, then the message. It is answered or refused
// according to the contract. A stream has the announced size, and stays within its files.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "lib/text/quote.h"
#include "lib/wire/chunk_decoder.h"
#include "server/service/handlers.h"
#include "server/stream/message_maker.h"
#include "tests/fuzz/check.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using fuzz::Check;

// Models so small that a plan that reads all of them many times is streamed at once.
const Catalog& Models() {
  static const test::TempDir directory;
  static const std::shared_ptr<const Catalog> catalog = [] {
    directory.Write("m/1.safetensors", test::ValidFile({{"a", Dtype::kF32, {3, 4, 5}},
                                                        {"b", Dtype::kU8, {300}},
                                                        {"", Dtype::kI64, {}},
                                                        {"empty", Dtype::kF16, {0, 2}}}));
    directory.Write("m/2.safetensors", test::ValidFile({{"narrow", Dtype::kF4, {6, 8}}}, R"({"format":"pt"})"));
    directory.Write("m/config.json", "{}");
    directory.Write("bad.safetensors", "bad");
    return Catalog::Load(directory.path()).value();
  }();
  return *catalog;
}

void CheckRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kOutOfRange:
      break;
    default:
      Check(false, "a request is refused with a code that the contract does not list");
  }
  const std::string message(status.message());
  Check(!message.empty() && message.size() < 2000, "a message that is empty, or longer than a client receives");
  Check(IsValidUtf8(message), "a message that is not text");
  Check(std::ranges::none_of(message, [](char c) { return c >= 0 && c < ' '; }), "a control character in a message");
}

template <typename Response>
void CheckAnswer(const absl::StatusOr<Response>& response) {
  if (!response.ok()) return CheckRefusal(response.status());
  Check(response->ByteSizeLong() < (4 << 20), "an answer larger than clients accept");
}

void CheckStream(absl::StatusOr<StreamPlan> plan, bool checksums_only) {
  if (!plan.ok()) return CheckRefusal(plan.status());
  std::int64_t announced = 0;
  for (const PlannedRead& read : plan->reads) {
    Check(0 <= read.result_begin && read.result_begin <= read.result_end && read.result_end <= read.slice.size_bytes(),
          "a read of more than its result");
    Check(0 <= read.source_offset && read.source_offset + read.source_size_bytes <= read.file->size_bytes(),
          "a tensor outside its file");
    announced += read.result_end - read.result_begin;
  }
  Check(announced == plan->header.size_bytes(), "a size that was not announced");
  const auto in_flight = std::make_shared<InFlightBytes>();
  MessageMaker source(*std::move(plan), IoMode::kMmap, BufferPool::Create(64 << 10), in_flight);
  const wire::StreamContent content = checksums_only ? wire::StreamContent::kChecksums : wire::StreamContent::kData;
  std::int64_t sent = 0;
  while (!source.done()) {
    absl::StatusOr<Message> message = source.Next();
    Check(message.ok(), "a stream that breaks");
    Check(message->bytes.Length() < (4 << 20), "a message larger than clients accept");
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message->bytes, content);
    Check(chunk.ok(), "a message that cannot be decoded");
    std::int64_t covered = 0;
    for (const v1::Segment& segment : chunk->head->segments()) {
      Check(segment.size_bytes() > 0 && segment.size_bytes() <= announced - sent,
            "segments of more than was announced");
      covered += segment.size_bytes();
    }
    Check(chunk->head->segments().empty() || chunk->head->has_crc32c(), "data without a checksum");
    if (checksums_only) {
      Check(chunk->data_size_bytes == 0, "data where only checksums are wanted");
    } else {
      Check(chunk->data_size_bytes == covered, "segments that do not add up to the data");
      Check(wire::VerifyChecksum(*chunk).ok(), "a checksum that does not match");
      Check(chunk->data_size_bytes == message->data_bytes, "another number of bytes than is reported");
    }
    sent += covered;
  }
  Check(sent == announced, "more or fewer bytes than announced");
  Check(in_flight->value() == 0, "bytes in flight at the end of a stream");
}

template <typename Request>
bool Parse(const std::uint8_t* data, std::size_t size, Request& request) {
  return request.ParseFromArray(data, static_cast<int>(size));
}

template <typename Request>
bool IsChecksumsOnly(const Request& request) {
  if constexpr (requires { request.checksums_only(); }) return request.checksums_only();
  return false;
}

template <typename Request, typename Planner>
void Stream(const std::uint8_t* data, std::size_t size, Planner planner) {
  if (Request request; Parse(data, size, request)) CheckStream(planner(Models(), request), IsChecksumsOnly(request));
}

template <typename Request, typename Handler>
void Answer(const std::uint8_t* data, std::size_t size, Handler handler) {
  if (Request request; Parse(data, size, request)) CheckAnswer(handler(Models(), request));
}

}  // namespace
}  // namespace tensorferry::server

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // As in the server: malformed messages are not logged to stderr.
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tensorferry::server;  // NOLINT
  namespace v1 = tensorferry::v1;
  if (size == 0) return 0;
  const std::uint8_t method = *data++;
  --size;
  switch (method) {
    case 'f':
      Stream<v1::GetFileRequest>(data, size, PlanGetFile);
      break;
    case 'l':
      Answer<v1::ListTensorsRequest>(data, size, ListTensors);
      break;
    case 'm':
      Answer<v1::GetMetadataRequest>(data, size, GetMetadata);
      break;
    case 'o':
      Answer<v1::ListModelsRequest>(data, size, [](const auto& models, const v1::ListModelsRequest& request) {
        return ListModels(models, request, Permissions(nullptr));
      });
      break;
    case 'p':
      Stream<v1::GetTensorsRequest>(data, size, PlanGetTensors);
      break;
    case 's':
      Stream<v1::GetSliceRequest>(data, size, PlanGetSlice);
      break;
    case 't':
      Stream<v1::GetTensorRequest>(data, size, PlanGetTensor);
      break;
    default:
      break;
  }
  return 0;
}
