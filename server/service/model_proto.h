// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_MODEL_PROTO_H_
#define TENSORFERRY_SERVER_SERVICE_MODEL_PROTO_H_

#include <string_view>

#include "lib/catalog/catalog.h"
#include "tensorferry/safetensors/model.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// A model, or why it cannot be served, as the wire shows it.
v1::Model ToProto(std::string_view name, const Catalog::Entry& entry);

// A tensor of a model as the wire shows it.
v1::Tensor ToProto(const Model::TensorRef& tensor);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_MODEL_PROTO_H_
