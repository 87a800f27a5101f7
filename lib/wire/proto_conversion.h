// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_WIRE_PROTO_CONVERSION_H_
#define TENSORFERRY_LIB_WIRE_PROTO_CONVERSION_H_

#include "absl/status/statusor.h"
#include "tensorferry/slice.h"
#include "tensorferry/tensor_info.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::wire {

// Conversions between messages and the types of the public headers. Messages come from untrusted peers.

v1::Slice ToProto(const SliceSpec& spec);
// Errors: INVALID_ARGUMENT: a dimension without an index or a range.
absl::StatusOr<SliceSpec> FromProto(const v1::Slice& slice);

v1::Tensor ToProto(const TensorInfo& tensor);
// Errors: UNIMPLEMENTED: an unknown dtype, perhaps of a newer server. DATA_LOSS: the size does not match dtype and
// shape.
absl::StatusOr<TensorInfo> FromProto(const v1::Tensor& tensor);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_PROTO_CONVERSION_H_
