// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_STREAM_PLAN_H_
#define TENSORFERRY_SERVER_STREAM_STREAM_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "lib/files/mapped_file.h"
#include "tensorferry/safetensors/model.h"
#include "tensorferry/slice_plan.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// A read that was validated against its model: the bytes of a file that make up its result.
struct PlannedRead {
  // The name of the tensor or file. The plan's model owns the characters.
  std::string_view name;
  // Empty for a file.
  std::string_view dtype;
  std::shared_ptr<const MappedFile> file = nullptr;
  // The bytes of the tensor or file in `file`.
  std::int64_t source_offset = 0;
  std::int64_t source_size_bytes = 0;
  SlicePlan slice;
  // The requested part of the result.
  std::int64_t result_begin = 0;
  std::int64_t result_end = 0;
};

// The reads of one stream. Owns references to its model and files, so a new catalog does not disturb it.
struct StreamPlan {
  explicit StreamPlan(std::shared_ptr<const Model> served);

  // Null when the names and dtypes of the reads are not needed any more.
  std::shared_ptr<const Model> model;
  v1::StreamHeader header;
  // The reads in the order of the request.
  std::vector<PlannedRead> reads;
  // Send the checksums of the data instead of the data.
  bool checksums_only = false;
  // The index of the tensor after the last one, in the model's order of names. Most plans request that one next.
  std::size_t next_tensor = 0;
};

// Returns the model that a request names. Errors: INVALID_ARGUMENT: no name; NOT_FOUND; FAILED_PRECONDITION: the model
// cannot be served; ABORTED: `generation` is not empty and not the model's.
absl::StatusOr<std::shared_ptr<const Model>> FindModel(const Catalog& catalog, const std::string& name,
                                                       const std::string& generation);

// Validates a read against the plan's model and adds it. Errors: NOT_FOUND: no such tensor; INVALID_ARGUMENT: the slice
// does not fit, or a negative offset or limit; OUT_OF_RANGE: the offset is beyond the end of the result.
absl::Status AddRead(const v1::Read& read, StreamPlan& plan);

// Returns the limit that a message sets; without one, a limit beyond every result.
template <typename Message>
std::int64_t LimitOf(const Message& message) {
  return message.has_read_limit() ? message.read_limit() : std::numeric_limits<std::int64_t>::max();
}

// Adds a read of a file, as it is on disk. Errors: as AddRead.
absl::Status AddFile(const std::string& file, std::int64_t read_offset, std::int64_t read_limit, StreamPlan& plan);

// Returns the plan of a request with one read. Errors: as FindModel and AddRead; the message names the model.
absl::StatusOr<StreamPlan> PlanOneRead(const Catalog& catalog, const std::string& model, const std::string& generation,
                                       const v1::Read& read);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_STREAM_PLAN_H_
