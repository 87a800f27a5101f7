// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/text/quote.h"
#include "server/service/handlers.h"

namespace tensorferry::server {

absl::StatusOr<StreamPlan> PlanGetTensor(const Catalog& catalog, const v1::GetTensorRequest& request) {
  if (!request.has_read()) return absl::InvalidArgumentError("the request has no read");
  if (request.read().has_slice()) {
    return absl::InvalidArgumentError("the read has a slice: GetTensor streams whole tensors, GetSlice streams slices");
  }
  return PlanOneRead(catalog, request.model(), request.generation(), request.read());
}

absl::StatusOr<StreamPlan> PlanGetSlice(const Catalog& catalog, const v1::GetSliceRequest& request) {
  if (!request.has_read()) return absl::InvalidArgumentError("the request has no read");
  return PlanOneRead(catalog, request.model(), request.generation(), request.read());
}

absl::StatusOr<StreamPlan> PlanGetTensors(const Catalog& catalog, const v1::GetTensorsRequest& request) {
  absl::StatusOr<std::shared_ptr<const Model>> model = FindModel(catalog, request.model(), request.generation());
  if (!model.ok()) return model.status();
  StreamPlan plan(*std::move(model));
  plan.checksums_only = request.checksums_only();
  plan.reads.reserve(static_cast<std::size_t>(request.reads_size()));
  for (int i = 0; i < request.reads_size(); ++i) {
    if (const absl::Status status = AddRead(request.reads(i), plan); !status.ok()) {
      const std::string which = request.reads_size() == 1 ? "" : fmt::format("read {}: ", i);
      return absl::Status(status.code(),
                          fmt::format("model {}: {}{}", Quote(request.model()), which, std::string(status.message())));
    }
  }
  return plan;
}

absl::StatusOr<StreamPlan> PlanGetFile(const Catalog& catalog, const v1::GetFileRequest& request) {
  absl::StatusOr<std::shared_ptr<const Model>> model = FindModel(catalog, request.model(), request.generation());
  if (!model.ok()) return model.status();
  StreamPlan plan(*std::move(model));
  plan.checksums_only = request.checksums_only();
  const absl::Status status = AddFile(request.file(), request.read_offset(), LimitOf(request), plan);
  if (status.ok()) return plan;
  return absl::Status(status.code(),
                      fmt::format("model {}: {}", Quote(request.model()), std::string(status.message())));
}

}  // namespace tensorferry::server
