// SPDX-License-Identifier: Apache-2.0
#include "lib/safetensors/name_order.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace tensorferry::safetensors {
namespace {

struct Keyed {
  std::uint64_t key = 0;
  std::uint32_t index = 0;
};

constexpr std::size_t kKeyBytes = sizeof(Keyed::key);

// Returns the bytes of `name` from `depth` on as a number that compares like them. Bytes after the end are 0.
std::uint64_t KeyAt(std::string_view name, std::size_t depth) {
  std::uint64_t key = 0;
  for (std::size_t i = depth; i < depth + kKeyBytes; ++i) {
    key = key << 8 | (i < name.size() ? static_cast<unsigned char>(name[i]) : 0U);
  }
  return key;
}

// Returns the length of the common prefix of the names from `depth` on. They must be equal before it.
std::size_t CommonBytes(std::span<const std::string_view> names, std::span<const Keyed> group, std::size_t depth) {
  std::string_view common = names[group.front().index].substr(depth);
  for (const Keyed& keyed : group.subspan(1)) {
    const std::string_view name = names[keyed.index].substr(depth);
    common = {common.begin(), std::ranges::mismatch(common, name).in1};
    if (common.empty()) break;
  }
  return common.size();
}

// Sorts names that are equal before `depth`.
void Sort(std::span<const std::string_view> names, std::span<Keyed> group, std::size_t depth) {
  depth += CommonBytes(names, group, depth);
  for (Keyed& keyed : group) keyed.key = KeyAt(names[keyed.index], depth);
  std::ranges::sort(group, {}, [](const Keyed& keyed) { return std::pair(keyed.key, keyed.index); });
  for (std::size_t begin = 0; begin < group.size();) {
    std::size_t end = begin + 1;
    while (end < group.size() && group[end].key == group[begin].key) ++end;
    // A key with a zero at its end contains the ends of the names, so that these are equal.
    if (end - begin > 1 && (group[begin].key & 0xFF) != 0) {
      Sort(names, group.subspan(begin, end - begin), depth + kKeyBytes);
    }
    begin = end;
  }
}

}  // namespace

std::vector<std::uint32_t> OrderOfNames(std::span<const std::string_view> names) {
  std::vector<std::uint32_t> order(names.size());
  std::iota(order.begin(), order.end(), 0U);
  // The usual case: nearly all writers sort.
  if (std::ranges::is_sorted(names)) return order;
  std::vector<Keyed> all(names.size());
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i].index = i;
  Sort(names, all, 0);
  std::ranges::transform(all, order.begin(), &Keyed::index);
  return order;
}

}  // namespace tensorferry::safetensors
