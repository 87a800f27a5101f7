// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/copier.h"

#include <fmt/format.h>

namespace tensorferry::cuda {

Issued Copier::Issue(const Slot& slot) const {
  Issued issued;
  const ContextScope scope(context_);
  for (std::size_t begin = 0, end = 0; begin < slot.parts.size(); begin = end) {
    std::size_t size = slot.parts[begin].size;
    for (end = begin + 1; end < slot.parts.size() && slot.parts[end - 1].GoesOnWith(slot.parts[end]); ++end) {
      size += slot.parts[end].size;
    }
    const CUresult result = scope.result() == CUDA_SUCCESS ? Copy(slot, slot.parts[begin], size) : scope.result();
    issued.any = issued.any || result == CUDA_SUCCESS;
    issued.parts.resize(end, result);
    if (result != CUDA_ERROR_INVALID_VALUE) continue;
    // Two allocations may lie side by side, and no copy goes across their border.
    for (std::size_t i = begin; i < end; ++i) {
      issued.parts[i] = Copy(slot, slot.parts[i], slot.parts[i].size);
      issued.any = issued.any || issued.parts[i] == CUDA_SUCCESS;
    }
  }
  if (issued.any) issued.recorded = context_.driver().cuEventRecord(slot.event, slot.stream);
  return issued;
}

CUresult Copier::Copy(const Slot& slot, const Part& first, std::size_t size) const {
  const Driver& driver = context_.driver();
  std::byte* const host = slot.memory + first.offset;
  if (slot.from_device) return driver.cuMemcpyDtoHAsync(host, first.device, size, slot.stream);
  return driver.cuMemcpyHtoDAsync(first.device, host, size, slot.stream);
}

std::vector<CUresult> Copier::Query(std::span<Slot* const> slots) const {
  const Driver& driver = context_.driver();
  const ContextScope scope(context_);
  std::vector<CUresult> results(slots.size(), scope.result());
  if (scope.result() != CUDA_SUCCESS) return results;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    Slot& slot = *slots[i];
    if (!slot.recorded) {
      results[i] = driver.cuEventRecord(slot.event, slot.stream);
      slot.recorded = results[i] == CUDA_SUCCESS;
    }
    if (slot.recorded) results[i] = driver.cuEventQuery(slot.event);
  }
  return results;
}

absl::Status Copier::ToStatus(CUresult result) const {
  return context_.driver().ToStatus(result, fmt::format("a copy by way of {} failed", context_.name()));
}

}  // namespace tensorferry::cuda
