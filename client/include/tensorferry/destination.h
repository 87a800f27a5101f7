// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_DESTINATION_H_
#define TENSORFERRY_DESTINATION_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tensorferry {

// How long a fetch lets its destinations wait: until the deadline (DEADLINE_EXCEEDED), or a stop (CANCELLED).
struct FetchLimits {
  absl::Time deadline = absl::InfiniteFuture();
  std::stop_token stop_token = {};
};

// Memory the caller owns that a fetch fills: of a fixed size, writable at any offset. This is the seam behind which
// host memory, files and device memory look the same to a fetch.
//
// A fetch calls Begin once, writes only bytes whose checksum matched, each at least once, and then calls Finish once.
// What has memory() is an exception: bytes land there before the fetch knows of their checksum, and if it does not
// match others are put in their place or the fetch fails.
// If it fails, it calls Abandon in the end, also where Begin was not reached. It writes from the thread that called
// Fetch or, with several connections, from several threads at once, but never to overlapping ranges at once. None of
// these functions may throw.
class Destination {
 public:
  virtual ~Destination() = default;

  // The size, which must be that of the result it shall hold.
  virtual std::int64_t size_bytes() const = 0;

  // A fetch begins. Write and Finish may wait within `limits` only. An error ends the fetch, which returns it.
  virtual absl::Status Begin(const FetchLimits& limits);

  // Takes `data`, which is valid only during the call, to `offset`. The range lies inside the destination.
  // An error ends the fetch, which returns it.
  virtual absl::Status Write(std::int64_t offset, std::span<const std::byte> data) = 0;

  // The same of several pieces of data, one behind the other. For those to whom each call has a price of its own; else
  // it is a Write for each.
  virtual absl::Status WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces);

  // The memory that it is, of size_bytes(), if bytes may be put there without a Write: then they are copied and their
  // checksum is taken in one pass. Empty if each has to come by a Write. The same at every call.
  virtual std::span<std::byte> memory() const { return {}; }

  // Returns when all that was written has landed. An error ends the fetch, which returns it.
  virtual absl::Status Finish() = 0;

  // The fetch failed. Returns when nothing of what was written is under way any more, at `until` at the latest.
  virtual void Abandon(absl::Time until);
};

// Host memory, at any alignment. Does not own it: it must outlive the fetch.
class HostDestination final : public Destination {
 public:
  explicit HostDestination(std::span<std::byte> memory) : memory_(memory) {}

  std::int64_t size_bytes() const override { return static_cast<std::int64_t>(memory_.size()); }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  std::span<std::byte> memory() const override { return memory_; }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  std::span<std::byte> memory_;
};

// A run of an open file, beginning at `file_offset`. Does not own the descriptor; `path` is for messages. Finish does
// not sync the file.
class FileDestination final : public Destination {
 public:
  FileDestination(int fd, std::string path, std::int64_t file_offset, std::int64_t size_bytes)
      : fd_(fd), path_(std::move(path)), file_offset_(file_offset), size_bytes_(size_bytes) {}

  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  int fd_;
  std::string path_;
  std::int64_t file_offset_;
  std::int64_t size_bytes_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_DESTINATION_H_
