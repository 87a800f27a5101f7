// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/slice_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "lib/tensor/checked_math.h"

namespace tensorferry {
namespace {

// `count` elements of one dimension: start, start + step, and so on. All are inside the dimension.
struct Selection {
  std::int64_t start = 0;
  std::int64_t count = 0;
  std::int64_t step = 1;
};

// Clamps a bound into [0, size], as numpy does.
std::int64_t ClampBound(std::int64_t bound, std::int64_t size) {
  if (bound < 0) bound = bound < -size ? 0 : bound + size;
  return std::min(bound, size);
}

absl::StatusOr<Selection> Select(const DimensionSlice& slice, std::size_t dimension, std::int64_t size) {
  if (const auto* index = std::get_if<Index>(&slice)) {
    if (index->value >= size || index->value < -size) {
      return absl::InvalidArgumentError(
          fmt::format("dimension {}: index {} is out of bounds for size {}", dimension, index->value, size));
    }
    return Selection{index->value < 0 ? index->value + size : index->value, 1, 1};
  }
  const auto& range = std::get<Range>(slice);
  if (range.step < 1) {
    return absl::InvalidArgumentError(fmt::format("dimension {}: step {} is below 1", dimension, range.step));
  }
  const std::int64_t start = ClampBound(range.start.value_or(0), size);
  const std::int64_t stop = ClampBound(range.stop.value_or(size), size);
  if (stop <= start) return Selection{0, 0, 1};
  return Selection{start, (stop - start - 1) / range.step + 1, range.step};
}

// A loop over a dimension of the source, with its stride in bits. The count is never 0.
struct BitLoop {
  std::int64_t count = 0;
  std::int64_t stride_bits = 0;
  std::size_t dimension = 0;
};

// Copies `count` runs of kRunBytes, which begin `stride_bytes` apart, into dense memory. With a constant size, the
// compiler turns each copy into a few moves instead of a call.
template <std::size_t kRunBytes>
void CopyRunsOf(const std::byte* source, std::int64_t stride_bytes, std::int64_t count, std::byte* destination) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(destination + i * static_cast<std::int64_t>(kRunBytes), source + i * stride_bytes, kRunBytes);
  }
}

void CopyRuns(const std::byte* source, std::int64_t stride_bytes, std::size_t run_bytes, std::int64_t count,
              std::byte* destination) {
  switch (run_bytes) {
    case 1:
      return CopyRunsOf<1>(source, stride_bytes, count, destination);
    case 2:
      return CopyRunsOf<2>(source, stride_bytes, count, destination);
    case 4:
      return CopyRunsOf<4>(source, stride_bytes, count, destination);
    case 8:
      return CopyRunsOf<8>(source, stride_bytes, count, destination);
    case 16:
      return CopyRunsOf<16>(source, stride_bytes, count, destination);
    case 32:
      return CopyRunsOf<32>(source, stride_bytes, count, destination);
    case 64:
      return CopyRunsOf<64>(source, stride_bytes, count, destination);
    default:
      break;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(destination, source + i * stride_bytes, run_bytes);
    destination += run_bytes;
  }
}

}  // namespace

absl::StatusOr<SlicePlan> SlicePlan::Create(const SliceSpec& spec, Dtype dtype, std::span<const std::int64_t> shape) {
  if (!spec.error.empty()) return absl::InvalidArgumentError(spec.error);
  const std::size_t rank = shape.size();
  if (spec.dimensions.size() > rank) {
    return absl::InvalidArgumentError(
        fmt::format("slice has {} entries, but the tensor has {} dimensions", spec.dimensions.size(), rank));
  }
  const std::optional<std::uint64_t> source_bits = CheckedBits(dtype, shape);
  if (!source_bits || *source_bits % 8 != 0 || *source_bits / 8 > std::uint64_t{1} << 60) {
    return absl::InvalidArgumentError("size of the tensor must be a whole number of bytes, at most 2^60");
  }

  SlicePlan plan;
  bool empty = false;
  std::vector<Selection> selections;
  for (std::size_t d = 0; d < rank; ++d) {
    Selection selection{0, shape[d], 1};
    bool dropped = false;
    if (d < spec.dimensions.size()) {
      absl::StatusOr<Selection> selected = Select(spec.dimensions[d], d, shape[d]);
      if (!selected.ok()) return selected.status();
      selection = *selected;
      dropped = std::holds_alternative<Index>(spec.dimensions[d]);
    }
    if (!dropped) plan.shape_.push_back(selection.count);
    empty = empty || selection.count == 0;
    selections.push_back(selection);
  }
  if (empty) return plan;

  // From the innermost dimension outwards, dimensions that continue the run join it. The others become loops around it.
  // No product overflows: each is at most the size of the tensor, which is not empty here.
  std::int64_t run_bits = BitWidth(dtype);
  std::int64_t stride_bits = run_bits;
  std::int64_t base_bits = 0;
  std::vector<BitLoop> loops;  // innermost first
  for (std::size_t d = rank; d-- > 0; stride_bits *= shape[d]) {
    const Selection& s = selections[d];
    base_bits += s.start * stride_bits;
    if (s.count == 1) continue;
    const std::int64_t distance = s.step * stride_bits;
    if (loops.empty() && distance == run_bits) {
      run_bits *= s.count;
    } else if (!loops.empty() && distance == loops.back().count * loops.back().stride_bits) {
      loops.back().count *= s.count;
    } else {
      loops.push_back({s.count, distance, d});
    }
  }

  const auto split_error = [&](std::string_view what, std::size_t dimension) {
    return absl::InvalidArgumentError(
        fmt::format("dimension {}: {} of {} elements ({} bits each) does not fall on a whole byte", dimension, what,
                    DtypeName(dtype), BitWidth(dtype)));
  };
  const std::size_t innermost = rank == 0 ? 0 : rank - 1;
  if (base_bits % 8 != 0) return split_error("the start of the slice", innermost);
  if (run_bits % 8 != 0) {
    // The dimension inside the innermost loop ends the run, or that loop itself if it has none inside.
    return split_error("a run", loops.empty() ? innermost : std::min(loops.front().dimension + 1, innermost));
  }
  for (const BitLoop& loop : loops) {
    if (loop.stride_bits % 8 != 0) return split_error("a step", loop.dimension);
  }

  plan.base_offset_ = base_bits / 8;
  plan.run_bytes_ = run_bits / 8;
  plan.size_bytes_ = plan.run_bytes_;
  for (auto loop = loops.rbegin(); loop != loops.rend(); ++loop) {
    plan.loops_.push_back({loop->count, loop->stride_bits / 8});
    plan.size_bytes_ *= loop->count;
  }
  return plan;
}

SlicePlan SlicePlan::Whole(std::span<const std::int64_t> shape, std::int64_t size_bytes) {
  SlicePlan plan;
  plan.shape_.assign(shape.begin(), shape.end());
  plan.size_bytes_ = size_bytes;
  plan.run_bytes_ = size_bytes;
  return plan;
}

SlicePlan::Cursor::Cursor(const SlicePlan& plan, std::int64_t result_offset)
    : plan_(&plan), position_(result_offset), run_start_(plan.base_offset_), indices_(plan.loops_.size(), 0) {
  assert(result_offset >= 0 && result_offset <= plan.size_bytes_);
  if (position_ == plan.size_bytes_) return;
  run_position_ = position_ % plan.run_bytes_;
  std::int64_t run = position_ / plan.run_bytes_;
  for (std::size_t i = indices_.size(); i-- > 0;) {
    const Loop& loop = plan.loops_[i];
    indices_[i] = run % loop.count;
    run /= loop.count;
    run_start_ += indices_[i] * loop.stride_bytes;
  }
}

SlicePlan::Run SlicePlan::Cursor::Next(std::int64_t max_bytes) {
  assert(remaining_bytes() > 0 && max_bytes > 0);
  const Run run{run_start_ + run_position_, std::min(plan_->run_bytes_ - run_position_, max_bytes)};
  position_ += run.size_bytes;
  run_position_ += run.size_bytes;
  if (run_position_ == plan_->run_bytes_) AdvanceRun();
  return run;
}

void SlicePlan::Cursor::AdvanceRun() {
  run_position_ = 0;
  for (std::size_t i = indices_.size(); i-- > 0;) {
    const Loop& loop = plan_->loops_[i];
    run_start_ += loop.stride_bytes;
    if (++indices_[i] < loop.count) return;
    run_start_ -= loop.count * loop.stride_bytes;
    indices_[i] = 0;
  }
}

void SlicePlan::Cursor::Gather(std::span<const std::byte> source, std::span<std::byte> destination) {
  while (!destination.empty()) {
    const auto whole_runs = static_cast<std::int64_t>(destination.size()) / plan_->run_bytes_;
    if (run_position_ == 0 && whole_runs > 0 && !indices_.empty()) {
      const Loop& loop = plan_->loops_.back();
      const std::int64_t count = std::min(whole_runs, loop.count - indices_.back());
      const auto run_bytes = static_cast<std::size_t>(plan_->run_bytes_);
      CopyRuns(source.data() + run_start_, loop.stride_bytes, run_bytes, count, destination.data());
      destination = destination.subspan(static_cast<std::size_t>(count) * run_bytes);
      position_ += count * plan_->run_bytes_;
      // Skips all but the last run. AdvanceRun() skips the last, which may end this loop and those around it.
      indices_.back() += count - 1;
      run_start_ += (count - 1) * loop.stride_bytes;
      AdvanceRun();
      continue;
    }
    const Run run = Next(static_cast<std::int64_t>(destination.size()));
    const auto size = static_cast<std::size_t>(run.size_bytes);
    std::memcpy(destination.data(), source.data() + run.source_offset, size);
    destination = destination.subspan(size);
  }
}

}  // namespace tensorferry
