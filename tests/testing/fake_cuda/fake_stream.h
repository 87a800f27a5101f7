// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_STREAM_H_
#define TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_STREAM_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace tensorferry::test {

// A queue of work with its own thread, which does the work in order. Safe for concurrent use.
class FakeStream {
 public:
  // `before_each` is called before each piece of work, and may block.
  explicit FakeStream(std::function<void()> before_each)
      : before_each_(std::move(before_each)), thread_([this] { Work(); }) {}
  FakeStream(const FakeStream&) = delete;
  FakeStream& operator=(const FakeStream&) = delete;
  // Completes the remaining work.
  ~FakeStream() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void Add(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    changed_.notify_all();
  }

  bool idle() {
    const std::lock_guard lock(mutex_);
    return queue_.empty();
  }

  // Returns when no work is left.
  void WaitUntilIdle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queue_.empty(); });
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (queue_.empty()) return;
      lock.unlock();
      before_each_();
      queue_.front()();  // other threads only add at the end
      lock.lock();
      queue_.pop_front();
      changed_.notify_all();
    }
  }

  const std::function<void()> before_each_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_STREAM_H_
