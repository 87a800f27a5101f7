// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/submitter.h"

#include <fmt/format.h>

#include <cstddef>

namespace tensorferry::cuda {

Submission Submitter::Submit(const StagingBuffer& buffer) const {
  const ContextScope scope(context_);
  const std::vector<Part>& parts = buffer.parts;
  if (scope.result() != CUDA_SUCCESS) return {.parts = std::vector(parts.size(), scope.result())};
  const Driver& driver = context_.driver();
  Submission submission{.begun = true};
  for (std::size_t begin = 0, end = 0; begin < parts.size(); begin = end) {
    std::size_t size = parts[begin].size;
    for (end = begin + 1; end < parts.size() && parts[end - 1].IsFollowedBy(parts[end]); ++end) size += parts[end].size;
    const Part& first = parts[begin];
    const CUresult result =
        driver.cuMemcpyHtoDAsync_v2(first.device, buffer.memory + first.offset, size, buffer.stream);
    submission.parts.resize(end, result);
  }
  submission.recorded = driver.cuEventRecord(buffer.event, buffer.stream);
  return submission;
}

std::vector<PollResult> Submitter::Poll(std::span<StagingBuffer* const> buffers) const {
  const ContextScope scope(context_);
  std::vector<PollResult> results(buffers.size(), {.answer = scope.result(), .error = scope.result()});
  if (scope.result() != CUDA_SUCCESS) return results;
  for (std::size_t i = 0; i < buffers.size(); ++i) results[i] = PollOne(*buffers[i]);
  return results;
}

PollResult Submitter::PollOne(StagingBuffer& buffer) const {
  const Driver& driver = context_.driver();
  // After a fetch has failed because its buffer is lost, its caller may destroy the stream. Only the event is valid
  // then.
  const bool lost = !buffer.failure.ok();
  if (lost && !buffer.recorded) return {.answer = CUDA_ERROR_UNKNOWN, .error = CUDA_ERROR_UNKNOWN};
  CUresult result = CUDA_SUCCESS;
  if (!buffer.recorded) {
    result = driver.cuEventRecord(buffer.event, buffer.stream);
    buffer.recorded = result == CUDA_SUCCESS;
  }
  if (buffer.recorded) result = driver.cuEventQuery(buffer.event);
  if (result == CUDA_SUCCESS || result == CUDA_ERROR_NOT_READY) return {.answer = result};
  if (lost) return {.answer = result, .error = result};
  // The stream is idle when the copies are complete, or later: the caller may have queued work after them.
  return {.answer = driver.cuStreamQuery(buffer.stream), .error = result};
}

absl::Status Submitter::ToStatus(CUresult result) const {
  return context_.driver().ToStatus(result, fmt::format("a copy to {} failed", context_.name()));
}

}  // namespace tensorferry::cuda
