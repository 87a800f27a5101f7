// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "lib/text/quote.h"
#include "server/service/handlers.h"
#include "server/service/model_proto.h"
#include "server/service/page.h"
#include "server/stream/stream_plan.h"

namespace tensorferry::server {
namespace {

// The limit for one file's metadata. A page of files and one such file stay below the 4 MiB that gRPC clients accept.
constexpr std::size_t kMaxMetadataBytes = 1 << 20;
// Upper bound of the bytes of a map's entry in addition to its key and value.
constexpr std::size_t kEntryOverheadBytes = 18;

v1::FileKind ToProto(ModelFile::Kind kind) {
  switch (kind) {
    case ModelFile::Kind::kSafetensors:
      return v1::FILE_KIND_SAFETENSORS;
    case ModelFile::Kind::kIndex:
      return v1::FILE_KIND_INDEX;
    case ModelFile::Kind::kCompanion:
      return v1::FILE_KIND_COMPANION;
  }
  return v1::FILE_KIND_UNSPECIFIED;
}

// Adds the metadata if it is within the limit.
void AddMetadata(const safetensors::Metadata& metadata, v1::ModelFile& file) {
  std::size_t size = 0;
  for (const auto& [key, value] : metadata) size += key.size() + value.size() + kEntryOverheadBytes;
  if (size > kMaxMetadataBytes) {
    file.set_metadata_omitted(true);
    return;
  }
  for (const auto& [key, value] : metadata) (*file.mutable_metadata())[key] = value;
}

}  // namespace

absl::StatusOr<v1::GetMetadataResponse> GetMetadata(const Catalog& catalog, const v1::GetMetadataRequest& request) {
  absl::StatusOr<Page> page = Page::Create(request.page_size(), request.page_token());
  if (!page.ok()) return page.status();
  const absl::StatusOr<std::shared_ptr<const Model>> found = FindModel(catalog, request.model(), request.generation());
  if (!found.ok()) return found.status();
  if (!page->first() && page->generation() != (*found)->tree_digest()) {
    return absl::AbortedError(fmt::format("model {}: changed since the previous page; begin again with the first page",
                                          Quote(request.model())));
  }
  v1::GetMetadataResponse response;
  *response.mutable_model() = server::ToProto(request.model(), catalog.entries().find(request.model())->second);
  if (request.has_tensor()) {
    const std::optional<std::size_t> index = (*found)->Find(request.tensor());
    if (!index) {
      return absl::NotFoundError(
          fmt::format("model {}: there is no tensor {} in the model", Quote(request.model()), Quote(request.tensor())));
    }
    *response.mutable_tensor() = server::ToProto((*found)->tensor(*index));
    return response;
  }
  response.set_tree_digest((*found)->tree_digest());
  for (const ModelFile& file : (*found)->files()) {
    if (!page->first() && file.name <= page->after()) continue;
    if (page->full()) {
      response.set_next_page_token(Page::MakeToken(response.files().rbegin()->name(), (*found)->tree_digest()));
      break;
    }
    v1::ModelFile& added = *response.add_files();
    added.set_name(file.name);
    added.set_kind(ToProto(file.kind));
    added.set_size_bytes(file.file->size_bytes());
    added.set_digest(file.digest);
    if (file.tensors != nullptr) AddMetadata(file.tensors->header().metadata(), added);
    page->Add(added.ByteSizeLong());
  }
  return response;
}

}  // namespace tensorferry::server
