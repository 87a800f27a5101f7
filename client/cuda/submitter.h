// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_SUBMITTER_H_
#define TENSORFERRY_CLIENT_CUDA_SUBMITTER_H_

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "client/cuda/primary_context.h"
#include "client/cuda/staging_buffer.h"

namespace tensorferry::cuda {

// The outcome of submitting a buffer's copies.
struct Submission {
  // True if the context could be used, so that calls were made.
  bool begun = false;
  // The result for each part. An error may come from earlier work, so that the copy of the part may still be pending.
  std::vector<CUresult> parts = {};
  // The result of recording the buffer's event after the copies.
  CUresult recorded = CUDA_SUCCESS;
};

// The result of polling a buffer whose copies were submitted.
struct PollResult {
  // CUDA_SUCCESS: no copy is pending; CUDA_ERROR_NOT_READY: some may be pending; all others: unknown.
  CUresult answer = CUDA_SUCCESS;
  // The error of the first query, if it failed.
  CUresult error = CUDA_SUCCESS;
};

// Makes the driver calls of a ring. A busy driver may block any of them. So they are made without a lock, on buffers
// that no other thread uses at that time.
class Submitter {
 public:
  // `context` must outlive this object.
  explicit Submitter(const PrimaryContext& context) : context_(context) {}

  // Submits the copies of all parts. Adjacent parts share one copy.
  Submission Submit(const StagingBuffer& buffer) const;

  // Queries for each buffer if its copies are complete.
  std::vector<PollResult> Poll(std::span<StagingBuffer* const> buffers) const;

  absl::Status ToStatus(CUresult result) const;

 private:
  PollResult PollOne(StagingBuffer& buffer) const;

  const PrimaryContext& context_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_SUBMITTER_H_
