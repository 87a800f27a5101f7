// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_MAPPING_TABLE_H_
#define TENSORFERRY_LIB_FILES_MAPPING_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tensorferry {

// The mappings of the process, as a signal handler can read them: entries are never freed, only used again.
// Safe for concurrent use by multiple threads.
namespace mapping_table {

struct Entry {
  std::atomic<std::uintptr_t> begin = 0;  // 0: not in use
  std::atomic<std::uintptr_t> end = 0;
  // True if zeros were put in place of pages that could not be read.
  std::atomic<bool> poisoned = false;
};

// Enters a mapping, for as long as it is not removed.
Entry* Add(std::span<const std::byte> mapping);
// To be called before the mapping is undone.
void Remove(Entry* entry);

// The mapping that `address` is in, or null. Async-signal-safe.
Entry* Find(std::uintptr_t address);

}  // namespace mapping_table
}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_MAPPING_TABLE_H_
