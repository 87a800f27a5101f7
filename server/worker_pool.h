// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_WORKER_POOL_H_
#define TENSORFERRY_SERVER_WORKER_POOL_H_

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

  // For what is of use only if it is done soon: runs `task` if fewer than half of the threads have something to do, so
  // that what has to be done finds a thread, too. Returns whether it will.
  bool ScheduleIfSpare(std::function<void()> task);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  std::size_t running_ = 0;                  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_WORKER_POOL_H_
