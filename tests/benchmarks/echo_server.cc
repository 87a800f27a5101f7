// SPDX-License-Identifier: Apache-2.0
//
// echo_server FILE: serves ranges of a file over bare gRPC. Has one thread and one completion queue, and the settings
// of our server. Parses, looks up, verifies and copies nothing. Prints its address.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "absl/synchronization/mutex.h"
#include "lib/files/mapped_file.h"
#include "tests/benchmarks/echo.h"

namespace tensorferry::benchmarks {
namespace {

struct Service {
  grpc::AsyncGenericService calls;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  std::shared_ptr<const MappedFile> file;
};

// Self-owning: waits for a call, responds, and deletes itself when the call has ended.
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
        if (ok && !rest_.empty()) return Send();
        step_ = Step::kFinished;
        stream_.Finish(grpc::Status::OK, this);
        return;
      case Step::kFinished:
        delete this;
        return;
    }
  }

 private:
  // The last operation, whose event is awaited.
  enum class Step : char { kRequested, kRead, kWritten, kFinished };

  ~Call() = default;

  void Answer(bool ok) {
    grpc::Slice slice;
    EchoRequest request;
    if (!ok || !message_.DumpToSingleSlice(&slice).ok() || slice.size() != sizeof(request)) return Refuse();
    std::memcpy(&request, slice.begin(), sizeof(request));
    const std::int64_t there = service_.file->size_bytes();
    if (request.offset < 0 || request.size_bytes < 0 || request.size_bytes > there ||
        request.offset > there - request.size_bytes)
      return Refuse();
    rest_ = service_.file->bytes().subspan(static_cast<std::size_t>(request.offset),
                                           static_cast<std::size_t>(request.size_bytes));
    if (context_.method() == kUnaryEcho) {
      step_ = Step::kFinished;
      message_ = MessageOf(rest_);
      stream_.WriteAndFinish(message_, grpc::WriteOptions(), grpc::Status::OK, this);
    } else {
      step_ = Step::kWritten;
      Send();
    }
  }

  // Writes the next message.
  void Send() {
    const std::span<const std::byte> next = rest_.first(std::min<std::size_t>(rest_.size(), kMessageBytes));
    rest_ = rest_.subspan(next.size());
    message_ = MessageOf(next);
    grpc::WriteOptions options;
    if (!rest_.empty()) options.set_buffer_hint();
    stream_.Write(message_, options, this);
  }

  static grpc::ByteBuffer MessageOf(std::span<const std::byte> bytes) {
    const grpc::Slice slice(bytes.data(), bytes.size(), grpc::Slice::STATIC_SLICE);
    return {&slice, 1};
  }

  void Refuse() {
    step_ = Step::kFinished;
    stream_.Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a range of the file"), this);
  }

  Service& service_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer message_;
  std::span<const std::byte> rest_;  // of the requested range
  Step step_ = Step::kRequested;
};

int Main(const std::string& path) {
  const absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::Open(path);
  if (!file.ok()) {
    std::fprintf(stderr, "echo_server: %s\n", std::string(file.status().message()).c_str());
    return 1;
  }
  Service service;
  service.file = *file;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kMessageBytes);
  builder.RegisterAsyncGenericService(&service.calls);
  service.queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::printf("127.0.0.1:%d\n", port);
  std::fflush(stdout);
  new Call(service);
  void* tag = nullptr;
  bool ok = false;
  // Runs until a signal ends the process.
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
  // The settings of the programs that we ship.
  setenv("GRPC_POLL_STRATEGY", "poll", 0);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return tensorferry::benchmarks::Main(argv[1]);
}
