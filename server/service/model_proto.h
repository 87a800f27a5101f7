// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_MODEL_PROTO_H_
#define TENSORFERRY_SERVER_SERVICE_MODEL_PROTO_H_

#include <string_view>

#include "lib/catalog/catalog.h"
#include "tensorferry/safetensors/model.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// Returns the message for a model, or for the reason why it cannot be served.
v1::Model ToProto(std::string_view name, const Catalog::Entry& entry);

// Returns the message for a tensor of a model.
v1::Tensor ToProto(const Model::TensorRef& tensor);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_MODEL_PROTO_H_
