// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_WORKER_POOL_H_
#define TENSORFERRY_SERVER_STREAM_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"

namespace tensorferry::server {

// Threads that may wait for disks, so that gRPC's threads never do. Tasks start in the order of Schedule.
// Safe for concurrent use by multiple threads.
class WorkerPool {
 public:
  explicit WorkerPool(int thread_count);
  // Runs the scheduled tasks, then joins the threads.
  ~WorkerPool();

  void Schedule(std::function<void()> task);

  // Returns true if less than a quarter of the threads have something to do. Tasks that can be left out should be
  // scheduled only then, so that the others find a thread.
  bool has_spare_threads() const;

 private:
  void Run();

  mutable Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  std::size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_WORKER_POOL_H_
