// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_BUFFER_POOL_H_
#define TENSORFERRY_SERVER_STREAM_BUFFER_POOL_H_

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"

namespace tensorferry::server {

// Buffers of one size, for data that is not sent from a mapping. Reuses them, because a fresh buffer costs a page fault
// for every page. Safe for concurrent use by multiple threads.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  static std::shared_ptr<BufferPool> Create(std::size_t buffer_bytes);

  // Returns a buffer that goes back to the pool with its last reference, which may outlive all other references to the
  // pool.
  std::shared_ptr<std::byte[]> Take();
  // The number of buffers in use.
  std::size_t taken() const;
  std::size_t buffer_bytes() const { return buffer_bytes_; }

 private:
  // Idle buffers beyond this number are freed.
  static constexpr std::size_t kMaxIdle = 16;

  explicit BufferPool(std::size_t buffer_bytes) : buffer_bytes_(buffer_bytes) {}

  void Return(std::unique_ptr<std::byte[]> buffer);

  const std::size_t buffer_bytes_;
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> idle_ ABSL_GUARDED_BY(mutex_);
  std::size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_BUFFER_POOL_H_
