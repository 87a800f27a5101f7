// SPDX-License-Identifier: Apache-2.0
//
// echo_worker ADDRESS RANGES unary|stream: takes ranges from echo_server, one call each, one after another, whenever
// suite.py says so. RANGES is a file of lines: offset and size in bytes.
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/benchmarks/echo.h"
#include "tests/benchmarks/ranges.h"
#include "tests/benchmarks/worker.h"

namespace tensorferry::benchmarks {
namespace {

class EchoClient {
 public:
  explicit EchoClient(const std::string& address)
      : stub_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {}

  grpc::Status Unary(const grpc::ByteBuffer& request, grpc::ByteBuffer& answer) {
    grpc::ClientContext context;
    grpc::Status status;
    const auto call = stub_.PrepareUnaryCall(&context, kUnaryEcho, request, &queue_);
    call->StartCall();
    call->Finish(&answer, &status, this);
    Await(this);
    return status;
  }

  // To gRPC's generic client a stream of answers is a call with messages both ways.
  grpc::Status Stream(const grpc::ByteBuffer& request, grpc::ByteBuffer& answer) {
    grpc::ClientContext context;
    context.set_initial_metadata_corked(true);
    const auto call = stub_.PrepareCall(&context, kStreamEcho, &queue_);
    char written = 0;
    char read = 0;
    call->StartCall(nullptr);  // corked: it happens with the write, and has no event
    call->WriteLast(request, grpc::WriteOptions(), &written);
    call->Read(&answer, &read);
    grpc::ByteBuffer end;
    bool more = Await(&read);
    if (more) {
      call->Read(&end, &read);
      more = Await(&read);
    }
    grpc::Status status;
    call->Finish(&status, this);
    Await(this);
    return more ? grpc::Status(grpc::StatusCode::INTERNAL, "more than one message") : status;
  }

 private:
  // Waits for an event, and takes what comes before it.
  bool Await(const void* event) {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok) && tag != event) {
    }
    return ok;
  }

  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
};

std::string Get(EchoClient& client, bool unary, const Range& range, std::span<std::byte> memory) {
  const EchoRequest wanted{.offset = range.offset, .size_bytes = static_cast<std::int64_t>(range.size_bytes)};
  const grpc::Slice slice(&wanted, sizeof(wanted));
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer answer;
  const grpc::Status status = unary ? client.Unary(request, answer) : client.Stream(request, answer);
  if (!status.ok()) return status.error_message();
  std::vector<grpc::Slice> slices;
  if (!answer.Dump(&slices).ok() || answer.Length() != memory.size()) return "not what was asked for";
  for (const grpc::Slice& part : slices) {
    std::memcpy(memory.data(), part.begin(), part.size());
    memory = memory.subspan(part.size());
  }
  return {};
}

int Main(const std::string& address, const std::string& ranges_path, bool unary) {
  std::size_t total_bytes = 0;
  const std::vector<Range> ranges = ReadRanges(ranges_path, total_bytes);
  EchoClient client(address);
  return ServeRuns(total_bytes, [&](std::span<std::byte> memory, std::vector<double>& latencies) -> std::string {
    for (const Range& range : ranges) {
      const double start = Now();
      std::string error = Get(client, unary, range, memory.subspan(range.place, range.size_bytes));
      latencies.push_back(Now() - start);
      if (!error.empty()) return error;
    }
    return {};
  });
}

}  // namespace
}  // namespace tensorferry::benchmarks

int main(int argc, char** argv) {
  const std::string_view kind = argc == 4 ? argv[3] : "";
  if (kind != "unary" && kind != "stream") {
    std::fputs("usage: echo_worker ADDRESS RANGES unary|stream\n", stderr);
    return 2;
  }
  // As in the programs that we ship.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return tensorferry::benchmarks::Main(argv[1], argv[2], kind == "unary");
}
