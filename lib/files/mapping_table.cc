// SPDX-License-Identifier: Apache-2.0
#include "lib/files/mapping_table.h"

#include <array>
#include <mutex>
#include <vector>

namespace tensorferry::mapping_table {
namespace {

// A handler may be reading at any time, so blocks are only ever added in front.
struct Block {
  std::array<Entry, 256> entries;
  Block* next = nullptr;
};

std::atomic<Block*> blocks = nullptr;

// Only for adding and removing. Never destroyed: mappings may outlive main.
struct Free {
  std::mutex mutex;
  std::vector<Entry*> entries;
};

Free& free_entries() {
  static Free& free = *new Free;
  return free;
}

}  // namespace

Entry* Add(std::span<const std::byte> mapping) {
  Free& free = free_entries();
  const std::lock_guard lock(free.mutex);
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
  Free& free = free_entries();
  const std::lock_guard lock(free.mutex);
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
