// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_CONFIRMATION_H_
#define TENSORFERRY_SERVER_STREAM_CONFIRMATION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/files/mapped_file.h"
#include "lib/sync/mutex.h"

namespace tensorferry::server {

// How data is confirmed to the client. A stream's data is divided into windows. Every slice that gRPC holds refers to
// its window (SentWindow). When gRPC has released the last of them, the window enters a queue (ReleasedWindows). The
// sender takes it from there, checks its files, and confirms its data (Confirmations). An earlier check would be too
// early: a change of a file could still reach the client as a part of a complete result.

// A contiguous part of a stream's data.
struct Window {
  // The position in the stream: 0, 1, 2...
  std::int64_t index = 0;
  // The end of the window in the data of the stream.
  std::int64_t end_bytes = 0;
  // The files that the data is from.
  std::vector<std::shared_ptr<const MappedFile>> files = {};
  bool is_last = false;
};

// Windows that gRPC has released and nobody has taken. Safe for concurrent use by multiple threads.
class ReleasedWindows {
 public:
  // After WakeForEach, `wake` is called when a window is released: possibly inside gRPC, with gRPC's locks held. Null
  // for no calls.
  explicit ReleasedWindows(std::function<void()> wake = nullptr) : wake_(std::move(wake)) {}

  void Add(Window window);
  // Removes and returns all windows.
  std::vector<Window> Take();
  // Returns true if there are windows to take. Does not lock.
  bool has_some() const { return has_some_.load(std::memory_order_acquire); }
  // Wakes for each window from now on. Call it when nobody takes windows otherwise, and take once afterwards.
  void WakeForEach();

 private:
  const std::function<void()> wake_;
  std::atomic<bool> has_some_ = false;
  Mutex mutex_;
  std::vector<Window> windows_ ABSL_GUARDED_BY(mutex_);
  bool wakes_for_each_ ABSL_GUARDED_BY(mutex_) = false;
};

// A window that is being filled or sent. Enters the queue when its last reference goes.
class SentWindow {
 public:
  SentWindow(std::int64_t index, std::shared_ptr<ReleasedWindows> released)
      : contents({.index = index}), released_(std::move(released)) {}
  SentWindow(const SentWindow&) = delete;
  SentWindow& operator=(const SentWindow&) = delete;
  ~SentWindow() { released_->Add(std::move(contents)); }

  // Only the thread that fills the window may use it, while it holds a reference.
  Window contents;

 private:
  const std::shared_ptr<ReleasedWindows> released_;
};

// Adds up the windows whose files were checked. Windows may be released in any order; data is confirmed from the
// beginning of the stream. Not safe for concurrent use.
class Confirmations {
 public:
  void Add(const Window& window);

  // The data that is confirmed, from the beginning of the stream.
  std::int64_t size_bytes() const { return size_bytes_; }
  // Returns true if all windows of the stream are confirmed.
  bool complete() const { return next_ == count_; }
  // Returns size_bytes() if it has grown since the last call, otherwise 0.
  std::int64_t TakeNews() { return size_bytes_ == taken_bytes_ ? 0 : taken_bytes_ = size_bytes_; }

 private:
  std::map<std::int64_t, std::int64_t> early_;  // the ends of windows that came before an earlier one, by index
  std::int64_t next_ = 0;                       // the first window that did not come
  std::int64_t count_ = -1;                     // unknown until the last window comes
  std::int64_t size_bytes_ = 0;
  std::int64_t taken_bytes_ = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_CONFIRMATION_H_
