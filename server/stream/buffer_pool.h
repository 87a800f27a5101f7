// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_BUFFER_POOL_H_
#define TENSORFERRY_SERVER_STREAM_BUFFER_POOL_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace tensorferry::server {

// Buffers of one size for what is not sent from the mapping, used again instead of freed: fresh ones of this size
// would cost a page fault for every page. Safe for concurrent use by multiple threads.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  static std::shared_ptr<BufferPool> Create(std::size_t buffer_bytes);

  // A buffer that returns to the pool with its last reference, which may outlive everything but the memory itself.
  std::shared_ptr<std::byte[]> Take();
  // How many were taken and have not returned.
  std::size_t taken() const;
  std::size_t buffer_bytes() const { return buffer_bytes_; }

 private:
  // What idles beyond this is freed.
  static constexpr std::size_t kMaxIdle = 16;

  explicit BufferPool(std::size_t buffer_bytes) : buffer_bytes_(buffer_bytes) {}

  void Return(std::unique_ptr<std::byte[]> buffer);

  const std::size_t buffer_bytes_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> idle_;  // guarded by mutex_
  std::size_t taken_ = 0;                           // guarded by mutex_
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_BUFFER_POOL_H_
