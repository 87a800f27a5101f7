// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_SENT_WINDOW_H_
#define TENSORFERRY_SERVER_STREAM_SENT_WINDOW_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "lib/files/mapped_file.h"

namespace tensorferry::server {

// A stretch of a stream's data, referred to by every slice of it that gRPC holds. When the last of them has been
// released, it reports so from its destructor: possibly deep inside gRPC, with gRPC's locks held.
class SentWindow {
 public:
  struct Contents {
    // Windows of a stream are numbered from 0, and follow each other without gaps.
    std::int64_t index = 0;
    // Where it ends in the data of the stream.
    std::int64_t end_bytes = 0;
    // The files that its data is from.
    std::vector<std::shared_ptr<const MappedFile>> files = {};
    bool is_last = false;
  };
  using OnReleased = std::function<void(Contents)>;

  SentWindow(Contents contents, OnReleased on_released)
      : contents(std::move(contents)), on_released_(std::move(on_released)) {}
  SentWindow(const SentWindow&) = delete;
  SentWindow& operator=(const SentWindow&) = delete;
  ~SentWindow() { on_released_(std::move(contents)); }

  // Written by the one who adds to the window, while he holds a reference.
  Contents contents;

 private:
  const OnReleased on_released_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_SENT_WINDOW_H_
