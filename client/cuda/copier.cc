// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/copier.h"

#include <fmt/format.h>

namespace tensorferry::cuda {

Issued Copier::Issue(const Slot& slot) const {
  const ContextScope scope(context_);
  if (scope.result() != CUDA_SUCCESS) return {.parts = std::vector(slot.parts.size(), scope.result())};
  Issued issued{.begun = true};
  for (std::size_t begin = 0, end = 0; begin < slot.parts.size(); begin = end) {
    std::size_t size = slot.parts[begin].size;
    for (end = begin + 1; end < slot.parts.size() && slot.parts[end - 1].GoesOnWith(slot.parts[end]); ++end) {
      size += slot.parts[end].size;
    }
    issued.parts.resize(end, Copy(slot, slot.parts[begin], size));
  }
  issued.recorded = context_.driver().cuEventRecord(slot.event, slot.stream);
  return issued;
}

CUresult Copier::Copy(const Slot& slot, const Part& first, std::size_t size) const {
  const Driver& driver = context_.driver();
  std::byte* const host = slot.memory + first.offset;
  if (slot.from_device) return driver.cuMemcpyDtoHAsync(host, first.device, size, slot.stream);
  return driver.cuMemcpyHtoDAsync(first.device, host, size, slot.stream);
}

std::vector<Look> Copier::Query(std::span<Slot* const> slots) const {
  const ContextScope scope(context_);
  std::vector<Look> looks(slots.size(), {.answer = scope.result(), .error = scope.result()});
  if (scope.result() != CUDA_SUCCESS) return looks;
  for (std::size_t i = 0; i < slots.size(); ++i) looks[i] = QueryOne(*slots[i]);
  return looks;
}

Look Copier::QueryOne(Slot& slot) const {
  const Driver& driver = context_.driver();
  // Who was told that a slot is lost may have destroyed the stream: then its event is all that there is to ask.
  const bool lost = !slot.failure.ok();
  if (lost && !slot.recorded) return {.answer = CUDA_ERROR_UNKNOWN, .error = CUDA_ERROR_UNKNOWN};
  CUresult result = CUDA_SUCCESS;
  if (!slot.recorded) {
    result = driver.cuEventRecord(slot.event, slot.stream);
    slot.recorded = result == CUDA_SUCCESS;
  }
  if (slot.recorded) result = driver.cuEventQuery(slot.event);
  if (result == CUDA_SUCCESS || result == CUDA_ERROR_NOT_READY) return {.answer = result};
  if (lost) return {.answer = result, .error = result};
  // The stream knows, too, if later: behind the copies there may be work of the caller's.
  return {.answer = driver.cuStreamQuery(slot.stream), .error = result};
}

absl::Status Copier::ToStatus(CUresult result) const {
  return context_.driver().ToStatus(result, fmt::format("a copy by way of {} failed", context_.name()));
}

}  // namespace tensorferry::cuda
