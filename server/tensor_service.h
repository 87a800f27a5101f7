// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_TENSOR_SERVICE_H_
#define TENSORFERRY_SERVER_TENSOR_SERVICE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>

#include "server/chunk_stream.h"
#include "server/current_catalog.h"
#include "server/security/access.h"
#include "tensorferry/v1/tensor_service.grpc.pb.h"

namespace tensorferry::server {

// The service's methods as gRPC calls them back: unary ones with messages, streams with raw bytes, so that what is
// served goes out from the mapping without a copy.
template <typename Base>
using WithUnaryMethods = v1::TensorService::WithCallbackMethod_ListModels<
    v1::TensorService::WithCallbackMethod_ListTensors<v1::TensorService::WithCallbackMethod_GetMetadata<Base>>>;
template <typename Base>
using WithRawStreams =
    v1::TensorService::WithRawCallbackMethod_GetTensor<v1::TensorService::WithRawCallbackMethod_GetSlice<
        v1::TensorService::WithRawCallbackMethod_GetTensors<v1::TensorService::WithRawCallbackMethod_GetFile<Base>>>>;

// Routes each RPC to its handler, if its caller may have it: a model that a caller may not read is NOT_FOUND, in the
// words for one that is not there.
class TensorService final : public WithUnaryMethods<WithRawStreams<v1::TensorService::Service>> {
 public:
  using Stream = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  // The largest request there may be: a plan.
  static constexpr std::size_t kMaxRequestBytes = std::size_t{4} << 20;

  // Each call is answered from the catalog that is current when it begins. All must outlive the service.
  TensorService(const CurrentCatalog& catalog, const Access& access, const StreamResources& resources)
      : catalog_(catalog), access_(access), resources_(resources) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context, const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* ListTensors(grpc::CallbackServerContext* context, const v1::ListTensorsRequest* request,
                                        v1::ListTensorsResponse* response) override;
  grpc::ServerUnaryReactor* GetMetadata(grpc::CallbackServerContext* context, const v1::GetMetadataRequest* request,
                                        v1::GetMetadataResponse* response) override;
  Stream* GetTensor(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;
  Stream* GetSlice(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;
  Stream* GetTensors(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;
  Stream* GetFile(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;

 private:
  const CurrentCatalog& catalog_;
  const Access& access_;
  const StreamResources& resources_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_TENSOR_SERVICE_H_
