// SPDX-License-Identifier: Apache-2.0
#include "server/service/get_file.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry::server {

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
