// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_REQUEST_PLANNER_H_
#define TENSORFERRY_CLIENT_FETCH_REQUEST_PLANNER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/fetch/assembler.h"
#include "tensorferry/fetch.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry {

// One RPC of a fetch: the request, and the parts that the response must bring. Refers to the caller's names.
struct StreamRequest {
  std::string method;
  std::unique_ptr<google::protobuf::Message> message;
  std::vector<ExpectedPart> parts;
  // If not empty, the digest that the file must have.
  std::string digest = {};
  // For each part, the index of its read in the fetch.
  std::vector<std::size_t> reads;
};

// The RPCs that one connection makes one after the other.
using Lane = std::vector<StreamRequest>;

// A range of a read's result, and its destination.
struct ReadRange {
  std::size_t read = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  // As in ExpectedPart.
  std::optional<std::int64_t> result_bytes = std::nullopt;
  std::span<std::byte> memory = {};
  Sink* sink = nullptr;
  const Destination::Choose* deferred = nullptr;
};

// Spreads `ranges` of `reads` over up to `connections` lanes of about equal size. Divides large ranges. Every lane gets
// enough bytes to be worth a connection.
std::vector<Lane> PlanFetch(std::string_view model, const std::string& generation, std::span<const Read> reads,
                            std::span<const ReadRange> ranges, int connections);

// Returns the RPC for a byte range of one file, without a destination.
StreamRequest PlanFileFetch(std::string_view model, std::string_view file, const std::string& generation,
                            std::int64_t offset, std::int64_t size_bytes);

// Returns a message for the method of `request` that requests `ranges` of its parts, and requires `generation`.
// `checksums_only`: requests the checksums of the bytes only.
std::unique_ptr<google::protobuf::Message> RequestForRanges(const StreamRequest& request,
                                                            std::span<const RemainingRange> ranges,
                                                            const std::string& generation, bool checksums_only);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_REQUEST_PLANNER_H_
