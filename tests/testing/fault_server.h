// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_FAULT_SERVER_H_
#define TENSORFERRY_TESTS_TESTING_FAULT_SERVER_H_

#include <grpcpp/server.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"
#include "tensorferry/v1/tensor_service.grpc.pb.h"

namespace tensorferry::test {

// The faults of a stream of a FaultServer. "In the middle" means after two chunks.
enum class Fault {
  kNone,
  kUnavailable,  // refuses the call
  kExhausted,    // refuses it with RESOURCE_EXHAUSTED
  kBreakAfterHeader,
  kBreak,            // ends with an error in the middle
  kCancel,           // resets the stream in the middle
  kFlippedByte,      // damages the third chunk
  kNoChecksum,       // omits the checksum of the third chunk
  kOtherGeneration,  // sends another generation, with other bytes
  kOtherInstance,    // sends the same bytes from another opening of the files
  kOtherBytes,       // sends other bytes from another opening, under the same generation
  kOtherShape,       // describes another dtype
  kEarlyOk,          // ends with OK in the middle
  kDuplicate,        // sends the second chunk twice
  kGap,              // omits the third chunk
  kOversize,         // sends a last chunk beyond the requested range
  kHugeMessage,      // sends a message above the limit of gRPC
  kExtra,            // sends a chunk of a read that was not requested, at the end
  kBreakAtEnd,       // ends with an error after all data
  kNotFound,         // refuses the call: no such model
  kStall,            // stops in the middle until it is cancelled
};

std::string_view Name(Fault fault);
inline void PrintTo(Fault fault, std::ostream* out) { *out << Name(fault); }

// A server in this process, with a model "m" of one tensor "t" of bytes. It does not use our server's code, so that it
// can have faults. It answers requests for checksums with the bytes of the last stream. Safe for concurrent use by
// multiple threads.
class FaultServer final : private v1::TensorService::Service {
 public:
  static constexpr std::string_view kGeneration = "g1";

  FaultServer(std::string bytes, std::size_t chunk_bytes);
  ~FaultServer() override;

  const std::string& address() const { return address_; }

  // Gives the next streams these faults, in order. Later streams have none.
  void SetFaults(std::vector<Fault> faults);

  // Returns the requests for data since SetFaults, in order. Each has one read.
  std::vector<v1::GetTensorsRequest> requests() const;
  // Returns the number of streams of checksums since SetFaults.
  int comparisons() const;

 private:
  using Writer = grpc::ServerWriter<v1::GetTensorsResponse>;

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*, v1::ListModelsResponse*) override;
  grpc::Status GetTensors(grpc::ServerContext* context, const v1::GetTensorsRequest* request, Writer* writer) override;

  Fault NextFault(const v1::GetTensorsRequest& request);
  // Returns the bytes of the tensor in a stream with this fault.
  std::string BytesOf(Fault fault) const;
  v1::GetTensorsResponse HeaderChunk(Fault fault, std::int64_t size_bytes) const;
  static v1::GetTensorsResponse DataChunk(const std::string& bytes, std::int64_t offset, std::int64_t size_bytes,
                                          std::int64_t read = 0);
  grpc::Status SendChecksums(const v1::Read& read, Writer* writer);

  const std::string bytes_;
  const std::int64_t chunk_bytes_;
  std::string address_;
  mutable Mutex mutex_;
  std::deque<Fault> faults_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::GetTensorsRequest> requests_ ABSL_GUARDED_BY(mutex_);
  Fault last_fault_ ABSL_GUARDED_BY(mutex_) = Fault::kNone;
  int comparisons_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAULT_SERVER_H_
