// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_MAPPING_TABLE_H_
#define TENSORFERRY_LIB_FILES_MAPPING_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tensorferry {

// The mappings of the process, readable in a signal handler: entries are reused but never freed.
// Safe for concurrent use by multiple threads.
namespace mapping_table {

struct Entry {
  std::atomic<std::uintptr_t> begin = 0;  // 0 if not in use
  std::atomic<std::uintptr_t> end = 0;
  // True once zeros have replaced pages that could not be read.
  std::atomic<bool> poisoned = false;
};

// Adds a mapping. The entry is valid until Remove.
Entry* Add(std::span<const std::byte> mapping);
// Removes a mapping. Call it before munmap.
void Remove(Entry* entry);

// Returns the mapping that contains `address`, or null. Async-signal-safe.
Entry* Find(std::uintptr_t address);

}  // namespace mapping_table
}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_MAPPING_TABLE_H_
