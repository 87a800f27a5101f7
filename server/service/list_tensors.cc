// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/text/glob.h"
#include "lib/text/quote.h"
#include "server/service/handlers.h"
#include "server/service/model_proto.h"
#include "server/service/page.h"
#include "server/stream/stream_plan.h"

namespace tensorferry::server {

absl::StatusOr<v1::ListTensorsResponse> ListTensors(const Catalog& catalog, const v1::ListTensorsRequest& request) {
  absl::StatusOr<Page> page = Page::Create(request.page_size(), request.page_token());
  if (!page.ok()) return page.status();
  const absl::StatusOr<std::shared_ptr<const Model>> found = FindModel(catalog, request.model(), request.generation());
  if (!found.ok()) return found.status();
  const Model& model = **found;
  if (!page->first() && page->generation() != model.generation()) {
    return absl::AbortedError(
        fmt::format("model {}: the previous page was of generation {}, now it is {}; begin again with the first page",
                    Quote(request.model()), Quote(page->generation()), model.generation()));
  }
  std::optional<Glob> glob;
  if (!request.glob().empty()) {
    absl::StatusOr<Glob> created = Glob::Create(request.glob());
    if (!created.ok()) return created.status();
    glob = *std::move(created);
  }

  v1::ListTensorsResponse response;
  response.set_generation(model.generation());
  // Names with the prefix are contiguous. A page continues after a name, which may be the empty one.
  std::size_t index = model.LowerBound(request.prefix());
  if (!page->first()) {
    const std::size_t after = model.LowerBound(page->after());
    const bool present = after < model.tensor_count() && model.tensor(after).view.name == page->after();
    index = std::max(index, after + (present ? 1 : 0));
  }
  for (; index < model.tensor_count(); ++index) {
    const Model::TensorRef tensor = model.tensor(index);
    if (!tensor.view.name.starts_with(request.prefix())) break;
    if (glob && !glob->Matches(tensor.view.name)) continue;
    if (page->full()) {
      response.set_next_page_token(Page::MakeToken(response.tensors().rbegin()->name(), model.generation()));
      break;
    }
    v1::Tensor& added = *response.add_tensors();
    added = ToProto(tensor);
    page->Add(added.ByteSizeLong());
  }
  return response;
}

}  // namespace tensorferry::server
