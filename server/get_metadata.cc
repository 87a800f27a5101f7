// SPDX-License-Identifier: Apache-2.0
#include "server/get_metadata.h"

#include <fmt/format.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "server/model_proto.h"
#include "server/stream_plan.h"
#include "tensorferry/quote.h"

namespace tensorferry::server {
namespace {

// Below the 4 MiB that gRPC clients accept.
constexpr std::size_t kMaxResponseBytes = 4'000'000;

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

}  // namespace

absl::StatusOr<v1::GetMetadataResponse> GetMetadata(const Catalog& catalog, const v1::GetMetadataRequest& request) {
  const absl::StatusOr<std::shared_ptr<const Model>> found = FindModel(catalog, request.model(), request.generation());
  if (!found.ok()) return found.status();
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
  for (const ModelFile& file : (*found)->files()) {
    v1::ModelFile& added = *response.add_files();
    added.set_name(file.name);
    added.set_kind(ToProto(file.kind));
    added.set_size_bytes(file.file->size_bytes());
    added.set_fingerprint(file.fingerprint);
    if (file.tensors == nullptr) continue;
    for (const auto& [key, value] : file.tensors->header().metadata()) (*added.mutable_metadata())[key] = value;
  }
  if (const std::size_t size = response.ByteSizeLong(); size > kMaxResponseBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("model {}: its metadata takes {} bytes, one message holds {}; read the files' headers with GetFile",
                    Quote(request.model()), size, kMaxResponseBytes));
  }
  return response;
}

}  // namespace tensorferry::server
