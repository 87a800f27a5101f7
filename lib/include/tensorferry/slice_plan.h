// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SLICE_PLAN_H_
#define TENSORFERRY_SLICE_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "tensorferry/dtype.h"
#include "tensorferry/slice.h"

namespace tensorferry {

// A slice that was validated against the dtype and shape of a tensor. It describes the contiguous runs of the tensor's
// bytes that form the dense, row-major result. Runs are computed when needed, so that a plan takes O(rank) memory.
// Immutable; safe for concurrent use by multiple threads.
class SlicePlan {
 public:
  // Validates `spec` against a tensor. The size of the tensor must be a whole number of bytes, at most 2^60.
  // Errors: INVALID_ARGUMENT, with the dimension:
  // - more entries than dimensions
  // - an index out of bounds, or a step below 1
  // - a slice that cuts a dtype narrower than a byte inside a byte
  static absl::StatusOr<SlicePlan> Create(const SliceSpec& spec, Dtype dtype, std::span<const std::int64_t> shape);

  // Returns the slice of a whole tensor, or of any other `size_bytes` contiguous bytes.
  static SlicePlan Whole(std::span<const std::int64_t> shape, std::int64_t size_bytes);

  // The shape of the result.
  std::span<const std::int64_t> shape() const { return shape_; }
  // The size of the result.
  std::int64_t size_bytes() const { return size_bytes_; }
  // The size of each contiguous run; all have the same. 0 if the result is empty.
  std::int64_t run_bytes() const { return run_bytes_; }

  // A contiguous range of the tensor's data.
  struct Run {
    std::int64_t source_offset = 0;
    std::int64_t size_bytes = 0;
  };

  // Iterates over the runs of a result, in O(rank) memory. The plan must outlive the cursor. Not safe for concurrent
  // use.
  class Cursor {
   public:
    // Starts at byte `result_offset` of the result, in [0, size_bytes()].
    explicit Cursor(const SlicePlan& plan, std::int64_t result_offset = 0);

    // The number of bytes from position() to the end of the result.
    std::int64_t remaining_bytes() const { return plan_->size_bytes_ - position_; }
    // The offset of the next byte in the result.
    std::int64_t position() const { return position_; }

    // The offset of the next byte in the tensor. Must not be called at the end.
    std::int64_t source_position() const { return run_start_ + run_position_; }
    // The number of bytes from there to the end of the run. Must not be called at the end.
    std::int64_t run_remaining_bytes() const { return plan_->run_bytes_ - run_position_; }

    // Returns the next run and moves past it. Cuts it at `max_bytes`, which must be at least 1. Must not be called at
    // the end.
    Run Next(std::int64_t max_bytes);

    // Copies the next `destination.size()` bytes of the result, at most remaining_bytes(), and moves past them.
    // `source` is the data of the whole tensor.
    void Gather(std::span<const std::byte> source, std::span<std::byte> destination);

   private:
    void AdvanceRun();

    const SlicePlan* plan_;
    std::int64_t position_ = 0;          // in the result
    std::int64_t run_start_ = 0;         // of the current run in the source
    std::int64_t run_position_ = 0;      // within the current run
    std::vector<std::int64_t> indices_;  // one per loop
  };

 private:
  // A dimension, or several merged ones, that is not part of the run.
  struct Loop {
    std::int64_t count = 0;
    std::int64_t stride_bytes = 0;
  };

  SlicePlan() = default;

  std::vector<std::int64_t> shape_;
  std::int64_t size_bytes_ = 0;
  std::int64_t run_bytes_ = 0;
  std::int64_t base_offset_ = 0;
  std::vector<Loop> loops_;  // outermost first
};

}  // namespace tensorferry

#endif  // TENSORFERRY_SLICE_PLAN_H_
