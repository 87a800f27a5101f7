// SPDX-License-Identifier: Apache-2.0
#include "server/stream/worker_pool.h"

#include <utility>

namespace tensorferry::server {

WorkerPool::WorkerPool(int thread_count) {
  for (int i = 0; i < thread_count; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() {
  {
    const MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.SignalAll();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Schedule(std::function<void()> task) {
  const MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
  // With the lock held: the task may release the last thing that keeps the pool alive.
  wake_.Signal();
}

bool WorkerPool::has_spare_threads() const {
  const MutexLock lock(&mutex_);
  return 4 * (running_ + tasks_.size()) < threads_.size();
}

void WorkerPool::Run() {
  while (true) {
    std::function<void()> task;
    {
      const MutexLock lock(&mutex_);
      while (!stopping_ && tasks_.empty()) wake_.Wait(&mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      ++running_;
    }
    task();
    // The task may hold the last references to streams and files: they go without the lock.
    task = nullptr;
    const MutexLock lock(&mutex_);
    --running_;
  }
}

}  // namespace tensorferry::server
