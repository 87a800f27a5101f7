// SPDX-License-Identifier: Apache-2.0
//
// echo_server FILE: gives ranges of a file in memory over bare gRPC: a completion queue and a thread, and nothing that
// is parsed, looked up, checked or copied. Prints its address.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "absl/synchronization/mutex.h"
#include "tensorferry/files/file_io.h"
#include "tests/benchmarks/echo.h"

namespace tensorferry::benchmarks {
namespace {

constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 30;

struct Service {
  grpc::AsyncGenericService calls;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  std::string bytes;
};

// Belongs to itself: waits for a call, answers it and goes.
class Call {
 public:
  explicit Call(Service& service) : service_(service) {
    service_.calls.RequestCall(&context_, &stream_, service_.queue.get(), service_.queue.get(), this);
  }

  void Proceed(bool ok) {
    switch (step_) {
      case Step::kRequested:
        new Call(service_);
        step_ = Step::kRead;
        stream_.Read(&message_, this);
        return;
      case Step::kRead:
        Answer(ok);
        return;
      case Step::kWritten:
        step_ = Step::kFinished;
        stream_.Finish(grpc::Status::OK, this);
        return;
      case Step::kFinished:
        delete this;
        return;
    }
  }

 private:
  // What is awaited.
  enum class Step : char { kRequested, kRead, kWritten, kFinished };

  ~Call() = default;

  void Answer(bool ok) {
    grpc::Slice slice;
    EchoRequest request;
    if (!ok || !message_.DumpToSingleSlice(&slice).ok() || slice.size() != sizeof(request)) return Refuse();
    std::memcpy(&request, slice.begin(), sizeof(request));
    const auto there = static_cast<std::int64_t>(service_.bytes.size());
    if (request.offset < 0 || request.size_bytes < 0 || request.size_bytes > there ||
        request.offset > there - request.size_bytes)
      return Refuse();
    const grpc::Slice answer(service_.bytes.data() + request.offset, static_cast<std::size_t>(request.size_bytes),
                             grpc::Slice::STATIC_SLICE);
    message_ = grpc::ByteBuffer(&answer, 1);
    if (context_.method() == kUnaryEcho) {
      step_ = Step::kFinished;
      stream_.WriteAndFinish(message_, grpc::WriteOptions(), grpc::Status::OK, this);
    } else {
      step_ = Step::kWritten;
      stream_.Write(message_, this);
    }
  }

  void Refuse() {
    step_ = Step::kFinished;
    stream_.Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a range of the file"), this);
  }

  Service& service_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer message_;
  Step step_ = Step::kRequested;
};

int Main(const std::string& path) {
  absl::StatusOr<std::string> bytes = ReadSmallFile(path, kMaxFileBytes);
  if (!bytes.ok()) {
    std::fprintf(stderr, "echo_server: %s\n", std::string(bytes.status().message()).c_str());
    return 1;
  }
  Service service;
  service.bytes = *std::move(bytes);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterAsyncGenericService(&service.calls);
  service.queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::printf("127.0.0.1:%d\n", port);
  std::fflush(stdout);
  new Call(service);
  void* tag = nullptr;
  bool ok = false;
  // Until the process is ended.
  while (service.queue->Next(&tag, &ok)) static_cast<Call*>(tag)->Proceed(ok);
  return 0;
}

}  // namespace
}  // namespace tensorferry::benchmarks

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: echo_server FILE\n", stderr);
    return 2;
  }
  // As in the programs that we ship.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return tensorferry::benchmarks::Main(argv[1]);
}
