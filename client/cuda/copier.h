// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_COPIER_H_
#define TENSORFERRY_CLIENT_CUDA_COPIER_H_

#include <cstddef>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "client/cuda/primary_context.h"
#include "client/cuda/slot.h"

namespace tensorferry::cuda {

// What became of issuing a slot's copies.
struct Issued {
  // Whether any call was made: the context could be used.
  bool begun = false;
  // Of each part. A driver's error may be that of earlier work: nobody knows whether such a copy is under way.
  std::vector<CUresult> parts = {};
  // Whether the slot's event stands behind them.
  CUresult recorded = CUDA_SUCCESS;
};

// What the driver said of a slot whose copies were issued.
struct Look {
  // CUDA_SUCCESS: none is under way; CUDA_ERROR_NOT_READY: some may be; else it did not say.
  CUresult answer = CUDA_SUCCESS;
  // An error with which it answered at first.
  CUresult error = CUDA_SUCCESS;
};

// Makes the calls to the driver that a ring needs. A driver that has too much to do may make any of them wait, so they
// are made without holding a lock, on slots that belong to the calling thread meanwhile.
class Copier {
 public:
  // `context` must outlive it.
  explicit Copier(const PrimaryContext& context) : context_(context) {}

  // Issues the copies of all parts, one for those that go on with each other.
  Issued Issue(const Slot& slot) const;

  // Asks of each slot whether its copies are done.
  std::vector<Look> Query(std::span<Slot* const> slots) const;

  absl::Status ToStatus(CUresult result) const;

 private:
  CUresult Copy(const Slot& slot, const Part& first, std::size_t size) const;
  Look QueryOne(Slot& slot) const;

  const PrimaryContext& context_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_COPIER_H_
