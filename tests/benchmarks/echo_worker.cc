// SPDX-License-Identifier: Apache-2.0
//
// echo_worker ADDRESS RANGES unary|stream: reads ranges from echo_server, one call per range, one after the other, on
// each command of suite.py. RANGES is a file with the offset and the size in bytes of a range on each line.
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>

#include <array>
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
      : stub_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), Arguments())) {}

  // Copies the requested range to the beginning of `memory`, and removes that part from `memory`.
  grpc::Status Unary(const grpc::ByteBuffer& request, std::span<std::byte>& memory) {
    grpc::ClientContext context;
    grpc::Status status;
    grpc::ByteBuffer answer;
    const auto call = stub_.PrepareUnaryCall(&context, kUnaryEcho, request, &queue_);
    call->StartCall();
    call->Finish(&answer, &status, this);
    Await(this);
    return status.ok() ? Land(answer, memory) : status;
  }

  // As Unary. gRPC's generic client has no server streams, only calls with messages in both directions.
  grpc::Status Stream(const grpc::ByteBuffer& request, std::span<std::byte>& memory) {
    grpc::ClientContext context;
    context.set_initial_metadata_corked(true);
    const auto call = stub_.PrepareCall(&context, kStreamEcho, &queue_);
    char written = 0;
    char read = 0;
    call->StartCall(nullptr);  // corked: starts with the write and has no event
    call->WriteLast(request, grpc::WriteOptions(), &written);
    std::array<grpc::ByteBuffer, 2> messages;
    grpc::Status landed;
    call->Read(&messages[0], &read);
    for (std::size_t i = 0; Await(&read); ++i) {
      // Reads the next message while this one is copied.
      call->Read(&messages[(i + 1) % 2], &read);
      if (landed.ok()) landed = Land(messages[i % 2], memory);
      messages[i % 2].Clear();
    }
    grpc::Status status;
    call->Finish(&status, this);
    Await(this);
    return status.ok() ? landed : status;
  }

 private:
  static grpc::ChannelArguments Arguments() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kFrameBytes);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    return arguments;
  }

  static grpc::Status Land(const grpc::ByteBuffer& message, std::span<std::byte>& memory) {
    std::vector<grpc::Slice> slices;
    if (grpc::Status status = message.Dump(&slices); !status.ok()) return status;
    if (message.Length() > memory.size())
      return {grpc::StatusCode::INTERNAL, "the server sent more bytes than requested"};
    for (const grpc::Slice& slice : slices) {
      std::memcpy(memory.data(), slice.begin(), slice.size());
      memory = memory.subspan(slice.size());
    }
    return grpc::Status::OK;
  }

  // Waits for an event, and discards those before it.
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
  const grpc::Status status = unary ? client.Unary(request, memory) : client.Stream(request, memory);
  if (!status.ok()) return status.error_message();
  return memory.empty() ? "" : "the server sent fewer bytes than requested";
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
  // The settings of the programs that we ship.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return tensorferry::benchmarks::Main(argv[1], argv[2], kind == "unary");
}
