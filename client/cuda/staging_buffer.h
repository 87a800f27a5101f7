// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_STAGING_BUFFER_H_
#define TENSORFERRY_CLIENT_CUDA_STAGING_BUFFER_H_

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/cuda/driver_api.h"

namespace tensorferry::cuda {

// The transfer of one fetch into one destination: its pending parts and its first error. Guarded by the mutex of its
// ring.
struct Transfer {
  Transfer(CUstream stream, CUdeviceptr allocation) : stream(stream), allocation(allocation) {}

  const CUstream stream;
  // The start of the allocation that contains the destination.
  const CUdeviceptr allocation;
  // The number of parts in staging buffers that have not arrived yet, even after a failure.
  std::size_t pending_parts = 0;
  // The first error.
  absl::Status status;

  void Fail(const absl::Status& error) {
    if (status.ok()) status = error;
  }
};

// A range of a staging buffer, and its destination on the device.
struct Part {
  // Null once the part is no longer pending.
  std::shared_ptr<Transfer> transfer;
  CUdeviceptr allocation = 0;
  CUdeviceptr device = 0;
  std::size_t offset = 0;
  std::size_t size = 0;

  // Returns true if `next` begins where this part ends, on the device and in the buffer, so that one copy takes both.
  // Two allocations may be adjacent, and no copy crosses their border.
  bool IsFollowedBy(const Part& next) const {
    return allocation == next.allocation && device + size == next.device && offset + size == next.offset;
  }
  // Fails the transfer. The part stays pending.
  void Fail(const absl::Status& error) {
    if (transfer != nullptr) transfer->Fail(error);
  }
  void Complete() {
    if (const std::shared_ptr<Transfer> completed = std::exchange(transfer, nullptr)) --completed->pending_parts;
  }
};

// A piece of pinned memory, which is reused. Guarded by the mutex of its ring, with two exceptions: each writer fills
// its own range, and one thread submits the copies, without the lock.
//
//   state        entered when                              left when
//   kFree        its copies are complete                   a thread takes it for a stream
//   kFilling     a thread took it                          it is full, or a thread waits for its bytes
//   kClosed      it takes no more parts                    its last writer is done
//   kSubmitting  one thread submits its copies             the driver has accepted or refused them
//   kPending     copies may be pending                     its event has happened, or its stream is idle
struct StagingBuffer {
  enum class State { kFree, kFilling, kClosed, kSubmitting, kPending };

  std::byte* memory = nullptr;
  CUevent event = nullptr;
  State state = State::kFree;
  // The stream of all its parts.
  CUstream stream = nullptr;
  std::size_t used = 0;
  int writers = 0;
  std::vector<Part> parts;
  // True if the event is recorded after the last copy.
  bool recorded = false;
  // The number of polls in a row that did not say if copies are pending.
  int failed_polls = 0;
  // The error of these polls, once there are too many: the buffer is lost until a poll succeeds.
  absl::Status failure;

  void Take(CUstream for_stream) {
    state = State::kFilling;
    stream = for_stream;
  }
  // Assigns the next `size` bytes to `transfer`.
  void Add(const std::shared_ptr<Transfer>& transfer, CUdeviceptr device, std::size_t size) {
    const Part part{
        .transfer = transfer, .allocation = transfer->allocation, .device = device, .offset = used, .size = size};
    used += size;
    if (!parts.empty() && parts.back().transfer == transfer && parts.back().IsFollowedBy(part)) {
      parts.back().size += size;
    } else {
      parts.push_back(part);
      ++transfer->pending_parts;
    }
  }
  void Fail(const absl::Status& error) {
    for (Part& part : parts) part.Fail(error);
  }
  void Complete() {
    for (Part& part : parts) part.Complete();
  }
  void Free() {
    state = State::kFree;
    used = 0;
    parts.clear();
    recorded = false;
    failed_polls = 0;
    failure = absl::OkStatus();
  }
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_STAGING_BUFFER_H_
