// SPDX-License-Identifier: Apache-2.0
#include "server/service/get_tensors.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry::server {

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

}  // namespace tensorferry::server
