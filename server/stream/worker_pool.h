// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_WORKER_POOL_H_
#define TENSORFERRY_SERVER_STREAM_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tensorferry::server {

// A few threads that may wait for disks, so that gRPC's never do. Tasks start in the order they came.
// Safe for concurrent use by multiple threads.
class WorkerPool {
 public:
  explicit WorkerPool(int thread_count);
  // Runs what was scheduled, then joins the threads.
  ~WorkerPool();

  void Schedule(std::function<void()> task);

  // Whether less than a quarter of the threads have something to do: for tasks that may as well be left out, so that
  // those which may not find a thread.
  bool has_spare_threads() const;

 private:
  void Run();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  std::size_t running_ = 0;                  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_WORKER_POOL_H_
