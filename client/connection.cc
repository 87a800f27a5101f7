// SPDX-License-Identifier: Apache-2.0
#include "client/connection.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

namespace tensorferry {
namespace {

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  // Otherwise gRPC gives all channels to one address the same socket.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // What may be on its way to a stream whose caller is busy. gRPC would let it grow with the bandwidth, to tens of MiB.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 << 20);
  // Larger frames than HTTP/2's 16 KiB cost less each and still let small reads pass between them.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 128 << 10);
  // A host that vanished is noticed by pings; the server permits these.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetUserAgentPrefix("tensorferry");
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

Connection::Connection(const std::string& address)
    : address_(address), channel_(CreateChannel(address)), stub_(channel_), raw_stub_(channel_) {}

absl::Time DeadlineOf(const CallOptions& options) {
  return options.timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : absl::Now() + options.timeout;
}

CallContext::CallContext(absl::Time deadline, const std::stop_token& stop_token)
    : on_stop_(stop_token, Cancel{&context_}) {
  if (deadline != absl::InfiniteFuture()) context_.set_deadline(absl::ToChronoTime(deadline));
}

}  // namespace tensorferry
