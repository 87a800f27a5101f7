// SPDX-License-Identifier: Apache-2.0
// The input is a dtype, a shape, a slice, and the sizes of the steps through its result. Compares with brute force.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "tensorferry/dtype.h"
#include "tensorferry/slice.h"
#include "tensorferry/slice_plan.h"
#include "tests/fuzz/check.h"
#include "tests/testing/slice_oracle.h"

namespace tensorferry::fuzz {
namespace {

constexpr std::int64_t kMaxElements = 1024;

// Reads values from the input. After its end, all are zero.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }

  // Returns a small number mostly, and sometimes an extreme of the type.
  std::int64_t Integer() {
    switch (const std::uint8_t byte = Byte()) {
      case 0x80:
        return std::numeric_limits<std::int64_t>::min();
      case 0x81:
        return std::numeric_limits<std::int64_t>::max();
      case 0x82: {
        std::uint64_t value = 0;
        for (int i = 0; i < 8; ++i) value = value << 8 | Byte();
        return static_cast<std::int64_t>(value);
      }
      default:
        return static_cast<std::int8_t>(byte);
    }
  }

  std::optional<std::int64_t> Bound() { return Byte() % 2 == 0 ? std::nullopt : std::optional(Integer()); }

 private:
  std::span<const std::uint8_t> bytes_;
};

std::vector<std::int64_t> TakeShape(Input& input, Dtype dtype) {
  std::vector<std::int64_t> shape;
  std::int64_t elements = 1;
  for (int rank = input.Byte() % 7; rank > 0; --rank) {
    const std::int64_t dimension = input.Byte() % 32;
    if (elements * dimension > kMaxElements) break;
    shape.push_back(dimension);
    elements *= dimension;
  }
  // The size of a tensor must be a whole number of bytes.
  if (elements * BitWidth(dtype) % 8 != 0) shape.push_back(4);
  return shape;
}

SliceSpec TakeSpec(Input& input) {
  SliceSpec spec;
  for (int entries = input.Byte() % 9; entries > 0; --entries) {
    if (input.Byte() % 3 == 0) {
      spec.dimensions.push_back(Index{input.Integer()});
      continue;
    }
    Range range;
    range.start = input.Bound();
    range.stop = input.Bound();
    range.step = input.Bound().value_or(1);
    spec.dimensions.push_back(range);
  }
  return spec;
}

void CheckWalk(const SlicePlan& plan, const std::vector<std::int64_t>& source_bytes, Input& input) {
  std::int64_t position = (input.Byte() << 8 | input.Byte()) % (plan.size_bytes() + 1);
  SlicePlan::Cursor cursor(plan, position);
  while (cursor.remaining_bytes() > 0) {
    Check(cursor.position() == position && cursor.remaining_bytes() == plan.size_bytes() - position, "position");
    const std::uint8_t limit = input.Byte();
    const std::int64_t max_bytes = limit == 0 ? std::numeric_limits<std::int64_t>::max() : limit;
    const SlicePlan::Run run = cursor.Next(max_bytes);
    Check(run.size_bytes >= 1 && run.size_bytes <= max_bytes && run.size_bytes <= plan.run_bytes(), "size of a run");
    for (std::int64_t i = 0; i < run.size_bytes; ++i, ++position) {
      Check(source_bytes.at(static_cast<std::size_t>(position)) == run.source_offset + i, "place of a run");
    }
  }
  Check(position == plan.size_bytes(), "the result ends too early");
}

void CheckGather(const SlicePlan& plan, const std::vector<std::int64_t>& source_bytes, std::size_t source_size,
                 Input& input) {
  std::vector<std::byte> source(source_size);
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 131 >> 3);
  SlicePlan::Cursor cursor(plan);
  for (std::size_t done = 0; cursor.remaining_bytes() > 0;) {
    std::vector<std::byte> piece(std::min<std::size_t>(input.Byte() + 1U, source_bytes.size() - done));
    cursor.Gather(source, piece);
    for (const std::byte byte : piece) {
      Check(byte == source[static_cast<std::size_t>(source_bytes.at(done++))], "gathered byte");
    }
  }
}

void Run(Input input) {
  const auto dtype = static_cast<Dtype>(input.Byte() % kDtypeCount);
  const std::vector<std::int64_t> shape = TakeShape(input, dtype);
  const SliceSpec spec = TakeSpec(input);

  const absl::StatusOr<SliceSpec> parsed = SliceSpec::Parse(spec.ToString());
  Check(parsed.ok() && *parsed == spec, "the slice differs after ToString and Parse");

  const std::optional<test::SliceResult> expected = test::SliceByBruteForce(spec, dtype, shape);
  const absl::StatusOr<SlicePlan> plan = SlicePlan::Create(spec, dtype, shape);
  Check(plan.ok() == expected.has_value(), "accepted or refused, unlike brute force");
  if (!plan.ok()) {
    Check(plan.status().code() == absl::StatusCode::kInvalidArgument, "refused with another code");
    return;
  }
  Check(std::ranges::equal(plan->shape(), expected->shape), "shape");
  Check(plan->size_bytes() == static_cast<std::int64_t>(expected->source_bytes.size()), "size");
  CheckWalk(*plan, expected->source_bytes, input);
  std::int64_t source_bits = BitWidth(dtype);
  for (const std::int64_t dimension : shape) source_bits *= dimension;
  CheckGather(*plan, expected->source_bytes, static_cast<std::size_t>(source_bits / 8), input);
}

}  // namespace
}  // namespace tensorferry::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tensorferry::fuzz::Run(tensorferry::fuzz::Input({data, size}));
  return 0;
}
