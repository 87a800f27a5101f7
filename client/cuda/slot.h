// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_SLOT_H_
#define TENSORFERRY_CLIENT_CUDA_SLOT_H_

#include <cuda.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace tensorferry::cuda {

// One fetch's way into one destination: what is on it, and what became of it. Guarded by the ring that it uses.
struct Landing {
  Landing(CUstream stream, CUdeviceptr allocation) : stream(stream), allocation(allocation) {}

  const CUstream stream;
  // Where the allocation begins that the destination lies in.
  const CUdeviceptr allocation;
  // Parts in slots that did not arrive yet; also of a fetch that failed.
  std::size_t parts_under_way = 0;
  // The first error.
  absl::Status status;

  void Fail(const absl::Status& error) {
    if (status.ok()) status = error;
  }
};

// A run of a slot's bytes and where it goes to, or comes from.
struct Part {
  // Null once it is not under way any more.
  std::shared_ptr<Landing> landing;
  CUdeviceptr allocation = 0;
  CUdeviceptr device = 0;
  std::size_t offset = 0;
  std::size_t size = 0;

  // Whether `next` begins where this ends, here and there, so that one copy takes both. Two allocations may lie side by
  // side, and no copy goes across their border.
  bool GoesOnWith(const Part& next) const {
    return allocation == next.allocation && device + size == next.device && offset + size == next.offset;
  }
  // The fetch has failed. It may be under way all the same.
  void Fail(const absl::Status& error) {
    if (landing != nullptr) landing->Fail(error);
  }
  void Settle() {
    if (const std::shared_ptr<Landing> told = std::exchange(landing, nullptr)) --told->parts_under_way;
  }
};

// A piece of pinned memory on its way round: free, filled, sent, free. Guarded by its ring, but its bytes are filled,
// and its copies issued, without holding anything.
struct Slot {
  enum class State {
    kFree,
    kOpen,      // takes more parts, all for the same stream
    kClosed,    // takes none; whoever writes last issues its copies
    kIssuing,   // belongs to the thread that does that
    kUnderWay,  // until its event has happened, or its stream is idle
    kRead,      // belongs to the thread that takes out what came from the device
  };

  std::byte* memory = nullptr;
  CUevent event = nullptr;
  State state = State::kFree;
  CUstream stream = nullptr;
  // Whether its bytes come from the device. Whoever reads them frees the slot, which is kept until then.
  bool from_device = false;
  bool kept = false;
  std::size_t used = 0;
  int writers = 0;
  std::vector<Part> parts;
  // Whether the event stands behind the last copy.
  bool recorded = false;
  // How often in a row the driver did not say whether copies are under way.
  int unanswered = 0;
  // What it said instead, too often: the slot is lost until it says something else.
  absl::Status failure;

  void Open(CUstream of) {
    state = State::kOpen;
    stream = of;
  }
  // Gives its next `size` bytes to `landing`.
  void Add(const std::shared_ptr<Landing>& landing, CUdeviceptr device, std::size_t size) {
    const Part part{
        .landing = landing, .allocation = landing->allocation, .device = device, .offset = used, .size = size};
    used += size;
    if (!parts.empty() && parts.back().landing == landing && parts.back().GoesOnWith(part)) {
      parts.back().size += size;
    } else {
      parts.push_back(part);
      ++landing->parts_under_way;
    }
  }
  void Fail(const absl::Status& error) {
    for (Part& part : parts) part.Fail(error);
  }
  void Settle() {
    for (Part& part : parts) part.Settle();
  }
  void Free() {
    state = State::kFree;
    from_device = false;
    kept = false;
    used = 0;
    parts.clear();
    recorded = false;
    unanswered = 0;
    failure = absl::OkStatus();
  }
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_SLOT_H_
