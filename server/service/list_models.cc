// SPDX-License-Identifier: Apache-2.0
#include "server/service/handlers.h"
#include "server/service/model_proto.h"
#include "server/service/page.h"

namespace tensorferry::server {

absl::StatusOr<v1::ListModelsResponse> ListModels(const Catalog& catalog, const v1::ListModelsRequest& request,
                                                  const Permissions& permissions) {
  absl::StatusOr<Page> page = Page::Create(request.page_size(), request.page_token());
  if (!page.ok()) return page.status();
  const Catalog::Entries& entries = catalog.entries();
  v1::ListModelsResponse response;
  for (auto entry = page->first() ? entries.begin() : entries.upper_bound(page->after()); entry != entries.end();
       ++entry) {
    if (!entry->second.listed || !permissions.MayRead(entry->first)) continue;
    if (page->full()) {
      response.set_next_page_token(Page::MakeToken(response.models().rbegin()->name()));
      break;
    }
    v1::Model& model = *response.add_models();
    model = ToProto(entry->first, entry->second);
    page->Add(model.ByteSizeLong());
  }
  return response;
}

}  // namespace tensorferry::server
