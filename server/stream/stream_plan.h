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

// A read that was held against its model: which bytes of which mapping make up its result.
struct PlannedRead {
  // Of the tensor or the file; the plan's model has the characters.
  std::string_view name;
  // Empty for a file.
  std::string_view dtype;
  std::shared_ptr<const MappedFile> file;
  // The tensor's (or file's) bytes in the mapping.
  std::int64_t source_offset = 0;
  std::int64_t source_size_bytes = 0;
  SlicePlan slice;
  // The half-open part of the result that was asked for.
  std::int64_t result_begin = 0;
  std::int64_t result_end = 0;
};

// Everything one stream will send. Keeps alive what it refers to, so a new catalog does not disturb it.
struct StreamPlan {
  explicit StreamPlan(std::shared_ptr<const Model> whose);

  std::shared_ptr<const Model> model;  // null once the names and dtypes of the reads are not needed any more
  v1::StreamHeader header;
  std::vector<PlannedRead> reads;  // in the order of the request
  // Send the checksums of the data instead of the data.
  bool checksums_only = false;
  // The place of the tensor behind the last one in the model's order of names: most plans ask for it next.
  std::size_t next_tensor = 0;
};

// The model that a request names. Errors: INVALID_ARGUMENT: no name; NOT_FOUND; FAILED_PRECONDITION: it cannot be
// served; ABORTED: `generation` is not empty and not the model's.
absl::StatusOr<std::shared_ptr<const Model>> FindModel(const Catalog& catalog, const std::string& name,
                                                       const std::string& generation);

// Holds a read against the plan's model and adds it. Errors: NOT_FOUND: no such tensor; INVALID_ARGUMENT: the slice
// does not fit, or a negative offset or limit; OUT_OF_RANGE: the offset is behind the result's end.
absl::Status AddRead(const v1::Read& read, StreamPlan& plan);

// Returns the limit that a message sets; without one, more than any result has.
template <typename Message>
std::int64_t LimitOf(const Message& message) {
  return message.has_read_limit() ? message.read_limit() : std::numeric_limits<std::int64_t>::max();
}

// Adds a file as it is on disk. Errors: as AddRead.
absl::Status AddFile(const std::string& file, std::int64_t read_offset, std::int64_t read_limit, StreamPlan& plan);

// Returns the plan for a request with one read. Errors: as FindModel and AddRead, which it names the model in.
absl::StatusOr<StreamPlan> PlanOneRead(const Catalog& catalog, const std::string& model, const std::string& generation,
                                       const v1::Read& read);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_STREAM_PLAN_H_
