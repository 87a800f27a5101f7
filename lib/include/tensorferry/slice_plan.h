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

// A slice that was held against a tensor's dtype and shape and fits: the contiguous runs of the tensor's bytes that
// make up the dense, row-major result. The runs are never listed; a plan takes O(rank) memory. Immutable; safe for
// concurrent use by multiple threads.
class SlicePlan {
 public:
  // Holds `spec` against a tensor. The tensor's size must be a whole number of bytes, and at most 2^60.
  // Errors: INVALID_ARGUMENT: more entries than dimensions, an index out of bounds, a step below 1, a dtype narrower
  // than a byte that would be cut inside a byte. The message names the dimension.
  static absl::StatusOr<SlicePlan> Create(const SliceSpec& spec, Dtype dtype, std::span<const std::int64_t> shape);

  // The slice that takes everything, of a tensor or of any other `size_bytes` contiguous bytes.
  static SlicePlan Whole(std::span<const std::int64_t> shape, std::int64_t size_bytes);

  // The shape of the result.
  std::span<const std::int64_t> shape() const { return shape_; }
  // The size of the result.
  std::int64_t size_bytes() const { return size_bytes_; }
  // The size of each contiguous run, the same for all; 0 if the result is empty.
  std::int64_t run_bytes() const { return run_bytes_; }

  // A contiguous piece of the tensor's data.
  struct Run {
    std::int64_t source_offset = 0;
    std::int64_t size_bytes = 0;
  };

  // Walks over the runs of a result. O(rank) memory. Not safe for concurrent use. The plan must outlive it.
  class Cursor {
   public:
    // Starts at byte `result_offset` of the result, which must lie in [0, size_bytes()].
    explicit Cursor(const SlicePlan& plan, std::int64_t result_offset = 0);

    // The bytes of the result that are still to come.
    std::int64_t remaining_bytes() const { return plan_->size_bytes_ - position_; }
    // Where in the result the next byte belongs.
    std::int64_t position() const { return position_; }

    // Where in the tensor the next byte is, and how many follow it there without a break. Not at the end.
    std::int64_t source_position() const { return run_start_ + run_position_; }
    std::int64_t run_remaining_bytes() const { return plan_->run_bytes_ - run_position_; }

    // The next run, cut at `max_bytes` (at least 1). Must not be called at the end.
    Run Next(std::int64_t max_bytes);

    // Copies the next `destination.size()` bytes of the result, at most remaining_bytes(). `source` is the whole
    // tensor.
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
  // A dimension that could not be merged into the run or into its neighbour, outermost first.
  struct Loop {
    std::int64_t count = 0;
    std::int64_t stride_bytes = 0;
  };

  SlicePlan() = default;

  std::vector<std::int64_t> shape_;
  std::int64_t size_bytes_ = 0;
  std::int64_t run_bytes_ = 0;
  std::int64_t base_offset_ = 0;
  std::vector<Loop> loops_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_SLICE_PLAN_H_
