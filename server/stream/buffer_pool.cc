// SPDX-License-Identifier: Apache-2.0
#include "server/stream/buffer_pool.h"

#include <utility>

namespace tensorferry::server {

std::shared_ptr<BufferPool> BufferPool::Create(std::size_t buffer_bytes) {
  return std::shared_ptr<BufferPool>(new BufferPool(buffer_bytes));
}

std::shared_ptr<std::byte[]> BufferPool::Take() {
  std::unique_ptr<std::byte[]> buffer;
  {
    const MutexLock lock(&mutex_);
    ++taken_;
    if (!idle_.empty()) {
      buffer = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (buffer == nullptr) buffer = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes_);
  return {buffer.release(),
          [pool = shared_from_this()](std::byte* returned) { pool->Return(std::unique_ptr<std::byte[]>(returned)); }};
}

std::size_t BufferPool::taken() const {
  const MutexLock lock(&mutex_);
  return taken_;
}

void BufferPool::Return(std::unique_ptr<std::byte[]> buffer) {
  const MutexLock lock(&mutex_);
  --taken_;
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(buffer));
}

}  // namespace tensorferry::server
