// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_PLAN_H_
#define TENSORFERRY_CLIENT_FETCH_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/assembler.h"
#include "tensorferry/fetch.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry {

// One RPC of a fetch: what to send, and what must come back. Refers to the names that the caller gave.
struct StreamRequest {
  std::string method;
  std::unique_ptr<google::protobuf::Message> message;
  std::vector<ExpectedPart> parts;
  // For each part, which of the fetch's reads it is a part of.
  std::vector<std::size_t> reads;
};

// The RPCs that one connection makes, one after the other.
using Lane = std::vector<StreamRequest>;

// Spreads `reads` over up to `connections` lanes of about equal bytes. Large reads are cut; every lane gets enough to
// be worth a connection. Errors: INVALID_ARGUMENT: a read without a destination.
absl::StatusOr<std::vector<Lane>> PlanFetch(std::string_view model, const std::string& generation,
                                            std::span<const Read> reads, int connections);

// The RPC for a run of one file's bytes.
StreamRequest PlanFileFetch(std::string_view model, std::string_view file, const std::string& generation,
                            std::int64_t offset, Destination& destination);

// What to send, by the method of `request`, for what remains of it, demanding `generation`.
std::unique_ptr<google::protobuf::Message> ResumeMessage(const StreamRequest& request,
                                                         std::span<const RemainingRange> remaining,
                                                         const std::string& generation);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_PLAN_H_
