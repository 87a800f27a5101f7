// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_GET_METADATA_H_
#define TENSORFERRY_SERVER_SERVICE_GET_METADATA_H_

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// Answers GetMetadata; the proto file says what with, and which errors there are.
absl::StatusOr<v1::GetMetadataResponse> GetMetadata(const Catalog& catalog, const v1::GetMetadataRequest& request);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_GET_METADATA_H_
