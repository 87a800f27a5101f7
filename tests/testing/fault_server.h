// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_FAULT_SERVER_H_
#define TENSORFERRY_TESTS_TESTING_FAULT_SERVER_H_

#include <grpcpp/server.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tensorferry/v1/tensor_service.grpc.pb.h"

namespace tensorferry::test {

// What a stream of a FaultServer does wrong; in the middle is after two chunks.
enum class Fault {
  kNone,
  kUnavailable,  // refuses the call
  kExhausted,    // refuses it for want of resources
  kBreakAfterHeader,
  kBreak,            // in the middle
  kCancel,           // resets the stream in the middle
  kFlippedByte,      // of the third chunk
  kOtherGeneration,  // bytes and all
  kOtherShape,       // says the generation and describes something else
  kEarlyOk,          // ends well in the middle
  kDuplicate,        // sends the second chunk twice
  kGap,              // leaves the third chunk out
  kOversize,         // the last chunk goes on behind what was asked for
  kHugeMessage,      // sends more than gRPC takes
  kExtra,            // after all it sends a chunk of a read that was not asked for
  kBreakAtEnd,       // after all data, before the status
  kNotFound,         // refuses it: no such model
  kStall,            // in the middle, until it is cancelled
};

std::string_view Name(Fault fault);
inline void PrintTo(Fault fault, std::ostream* out) { *out << Name(fault); }

// A server of a model "m" with one tensor "t" of bytes, in this process, made without our server's code so that it can
// be wrong. Safe for concurrent use by multiple threads.
class FaultServer final : private v1::TensorService::Service {
 public:
  static constexpr std::string_view kGeneration = "g1";

  FaultServer(std::string bytes, std::size_t chunk_bytes);
  ~FaultServer() override;

  const std::string& address() const { return address_; }

  // The next streams do `faults`, in order; those behind do nothing wrong.
  void SetFaults(std::vector<Fault> faults);

  // Of the streams since SetFaults, in order.
  std::vector<v1::GetTensorRequest> requests() const;

 private:
  using Writer = grpc::ServerWriter<v1::GetTensorResponse>;

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*, v1::ListModelsResponse*) override;
  grpc::Status GetMetadata(grpc::ServerContext*, const v1::GetMetadataRequest*, v1::GetMetadataResponse*) override;
  grpc::Status GetTensor(grpc::ServerContext* context, const v1::GetTensorRequest* request, Writer* writer) override;

  Fault NextFault(const v1::GetTensorRequest& request);
  v1::GetTensorResponse DataChunk(std::int64_t offset, std::int64_t size_bytes, std::int64_t read = 0) const;

  const std::string bytes_;
  const std::int64_t chunk_bytes_;
  std::string address_;
  mutable std::mutex mutex_;  // guards what follows
  std::deque<Fault> faults_;
  std::vector<v1::GetTensorRequest> requests_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAULT_SERVER_H_
