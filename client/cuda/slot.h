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
  explicit Landing(CUstream stream) : stream(stream) {}

  const CUstream stream;
  // Parts in slots that did not arrive yet.
  std::size_t parts_under_way = 0;
  // The first error.
  absl::Status status;

  void Settle(const absl::Status& result) {
    --parts_under_way;
    if (status.ok()) status = result;
  }
};

// A run of a slot's bytes and where it goes to, or comes from.
struct Part {
  // Null once the fetch has been told what became of it.
  std::shared_ptr<Landing> landing;
  CUdeviceptr device = 0;
  std::size_t offset = 0;
  std::size_t size = 0;

  // Whether `next` begins where this ends, here and there, so that one copy takes both.
  bool GoesOnWith(const Part& next) const { return device + size == next.device && offset + size == next.offset; }
  void Settle(const absl::Status& result) {
    if (const std::shared_ptr<Landing> told = std::exchange(landing, nullptr)) told->Settle(result);
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
    kUnderWay,  // until its event has happened
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
  // What the driver last said of the event, if that was an error: the slot is lost until it says something else.
  absl::Status failure;

  void Open(CUstream of) {
    state = State::kOpen;
    stream = of;
  }
  // Gives its next `size` bytes to `landing`.
  void Add(const std::shared_ptr<Landing>& landing, CUdeviceptr device, std::size_t size) {
    const Part part{.landing = landing, .device = device, .offset = used, .size = size};
    used += size;
    if (!parts.empty() && parts.back().landing == landing && parts.back().GoesOnWith(part)) {
      parts.back().size += size;
    } else {
      parts.push_back(part);
      ++landing->parts_under_way;
    }
  }
  void Free() {
    state = State::kFree;
    from_device = false;
    kept = false;
    used = 0;
    parts.clear();
    recorded = false;
    failure = absl::OkStatus();
  }
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_SLOT_H_
