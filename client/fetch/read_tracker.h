// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_READ_TRACKER_H_
#define TENSORFERRY_CLIENT_FETCH_READ_TRACKER_H_

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tensorferry {

// Counts the confirmed parts of a fetch's reads, and reports each read whose parts are all confirmed. While streams of
// the fetch bring bytes of different instances, which have not been compared with each other, it holds reports back.
// Safe for concurrent use by multiple threads.
class ReadTracker {
 public:
  using OnDone = std::function<void(std::size_t read)>;

  // Without `on_done` nothing is tracked.
  ReadTracker(std::size_t read_count, OnDone on_done);

  // Announces one more part of a read. A read is not reported before EndParts.
  void AddPart(std::size_t read);
  // All parts of the read were announced.
  void EndParts(std::size_t read);

  // The bytes of a stream, which any pointer identifies, are from `instance` now.
  void SetInstance(const void* stream, const std::string& instance);
  // One part of each of these was confirmed.
  void Confirm(std::span<const std::size_t> reads);
  // The bytes of all streams were compared: nothing is held back any more.
  void AllCompared();

 private:
  struct State {
    std::size_t unconfirmed = 0;
    bool all_announced = false;
  };

  // With mutex_ held: what is to be reported now.
  void ReportIfDone(std::size_t read);
  void ReportHeld();

  const OnDone on_done_;
  std::mutex mutex_;  // guards what follows
  std::vector<State> states_;
  std::map<const void*, std::string> instances_;
  bool same_instance_ = true;
  std::vector<std::size_t> held_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_READ_TRACKER_H_
