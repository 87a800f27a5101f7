// SPDX-License-Identifier: Apache-2.0
#include "server/get_file.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "tensorferry/quote.h"

namespace tensorferry::server {

absl::StatusOr<StreamPlan> PlanGetFile(const Catalog& catalog, const v1::GetFileRequest& request) {
  const absl::StatusOr<std::shared_ptr<const Model>> model = FindModel(catalog, request.model(), request.generation());
  if (!model.ok()) return model.status();
  StreamPlan plan;
  plan.header.set_generation((*model)->generation());
  const absl::Status status = AddFile(**model, request.file(), request.read_offset(), request.read_limit(), plan);
  if (status.ok()) return plan;
  return absl::Status(status.code(),
                      fmt::format("model {}: {}", Quote(request.model()), std::string(status.message())));
}

}  // namespace tensorferry::server
