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
  kNoChecksum,       // of the third chunk
  kOtherGeneration,  // bytes and all
  kOtherInstance,    // the same bytes of another opening of the files
  kOtherBytes,       // of another opening of the files, under the same generation
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
// be wrong. Requests for checksums are answered as the last stream of data was. Safe for concurrent use by multiple
// threads.
class FaultServer final : private v1::TensorService::Service {
 public:
  static constexpr std::string_view kGeneration = "g1";

  FaultServer(std::string bytes, std::size_t chunk_bytes);
  ~FaultServer() override;

  const std::string& address() const { return address_; }

  // The next streams do `faults`, in order; those behind do nothing wrong.
  void SetFaults(std::vector<Fault> faults);

  // Of the streams of data since SetFaults, in order. Each has one read.
  std::vector<v1::GetTensorsRequest> requests() const;
  // How many streams of checksums there were since SetFaults.
  int comparisons() const;

 private:
  using Writer = grpc::ServerWriter<v1::GetTensorsResponse>;

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*, v1::ListModelsResponse*) override;
  grpc::Status GetTensors(grpc::ServerContext* context, const v1::GetTensorsRequest* request, Writer* writer) override;

  Fault NextFault(const v1::GetTensorsRequest& request);
  // The bytes that a stream with that fault is about.
  std::string BytesOf(Fault fault) const;
  v1::GetTensorsResponse HeaderChunk(Fault fault, std::int64_t size_bytes) const;
  static v1::GetTensorsResponse DataChunk(const std::string& bytes, std::int64_t offset, std::int64_t size_bytes,
                                          std::int64_t read = 0);
  grpc::Status SendChecksums(const v1::Read& read, Writer* writer);

  const std::string bytes_;
  const std::int64_t chunk_bytes_;
  std::string address_;
  mutable std::mutex mutex_;  // guards what follows
  std::deque<Fault> faults_;
  std::vector<v1::GetTensorsRequest> requests_;
  Fault last_fault_ = Fault::kNone;
  int comparisons_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAULT_SERVER_H_
