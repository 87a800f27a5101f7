// SPDX-License-Identifier: Apache-2.0
#include "lib/files/mapping_table.h"

#include <array>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"

namespace tensorferry::mapping_table {
namespace {

// The signal handler may read the list at any time, so blocks are only added in front and never removed.
struct Block {
  std::array<Entry, 256> entries;
  Block* next = nullptr;
};

std::atomic<Block*> blocks = nullptr;

// The entries that are not in use. The signal handler does not touch them.
struct FreeEntries {
  Mutex mutex;
  std::vector<Entry*> entries ABSL_GUARDED_BY(mutex);
};

// Returns the only instance, which is never destroyed: mappings may outlive main.
FreeEntries& TheFreeEntries() {
  static FreeEntries& free = *new FreeEntries;
  return free;
}

}  // namespace

Entry* Add(std::span<const std::byte> mapping) {
  FreeEntries& free = TheFreeEntries();
  const MutexLock lock(&free.mutex);
  if (free.entries.empty()) {
    auto* block = new Block;
    block->next = blocks.load(std::memory_order_relaxed);
    for (Entry& entry : block->entries) free.entries.push_back(&entry);
    blocks.store(block, std::memory_order_release);
  }
  Entry* entry = free.entries.back();
  free.entries.pop_back();
  const auto begin = reinterpret_cast<std::uintptr_t>(mapping.data());
  entry->poisoned = false;
  entry->end = begin + mapping.size();
  entry->begin = begin;
  return entry;
}

void Remove(Entry* entry) {
  entry->begin = 0;
  FreeEntries& free = TheFreeEntries();
  const MutexLock lock(&free.mutex);
  free.entries.push_back(entry);
}

Entry* Find(std::uintptr_t address) {
  for (Block* block = blocks.load(std::memory_order_acquire); block != nullptr; block = block->next) {
    for (Entry& entry : block->entries) {
      const std::uintptr_t begin = entry.begin.load();
      if (begin != 0 && begin <= address && address < entry.end.load()) return &entry;
    }
  }
  return nullptr;
}

}  // namespace tensorferry::mapping_table
