// SPDX-License-Identifier: Apache-2.0
#include "server/service/model_proto.h"

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tensorferry/dtype.h"

namespace tensorferry::server {

v1::Model ToProto(std::string_view name, const Catalog::Entry& entry) {
  const absl::StatusOr<std::shared_ptr<const Model>>& model = entry.model;
  v1::Model proto;
  proto.set_name(std::string(name));
  if (!model.ok()) {
    proto.set_state(v1::MODEL_STATE_FAILED);
    proto.set_error(std::string(model.status().message()));
    return proto;
  }
  proto.set_state(v1::MODEL_STATE_READY);
  proto.set_replacement_error(std::string(entry.replacement.message()));
  proto.set_generation((*model)->generation());
  proto.set_tensor_count(static_cast<std::int64_t>((*model)->tensor_count()));
  proto.set_file_count((*model)->safetensors_file_count());
  proto.set_size_bytes((*model)->size_bytes());
  return proto;
}

v1::Tensor ToProto(const Model::TensorRef& tensor) {
  v1::Tensor proto;
  proto.set_name(std::string(tensor.view.name));
  proto.set_dtype(std::string(DtypeName(tensor.view.dtype)));
  proto.mutable_shape()->Add(tensor.view.shape.begin(), tensor.view.shape.end());
  proto.set_size_bytes(tensor.view.size_bytes());
  proto.set_file(tensor.file->name);
  proto.set_file_offset(tensor.file->tensors->data_offset() + tensor.view.begin);
  return proto;
}

}  // namespace tensorferry::server
