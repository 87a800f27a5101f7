// SPDX-License-Identifier: Apache-2.0
#include "client/channel/connection.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

namespace tensorferry {
namespace {

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address, const Credentials& credentials) {
  grpc::ChannelArguments arguments;
  // Otherwise gRPC gives all channels to one address the same socket.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // What may be on its way to a stream whose caller is busy. gRPC would let it grow with the bandwidth, to tens of MiB.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 << 20);
  // A frame for each message: both sides pay for each. Others pass between them, as gRPC writes 1 MiB at a time anyway.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 4 << 20);
  // How long a connection may take to come about: by itself gRPC would give one that nobody answers 20 s before it is
  // another address's turn.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  // A host that vanished is noticed by pings; the server permits these.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A name may stand for many servers (a headless Service): one call goes to each in turn, and none waits for those
  // that are away. By itself gRPC would stay with the first.
  if (address.starts_with("dns:")) arguments.SetLoadBalancingPolicyName("round_robin");
  // Our own retries resume; gRPC's, for calls that no server has seen, end in a crash where a damaged frame meets a
  // deadline (1.51), and look at every message.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // gRPC honours the proxy variables even for loopback.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, credentials.proxy_from_environment ? 1 : 0);
  arguments.SetUserAgentPrefix("tensorferry");
  if (!credentials.server_name.empty()) arguments.SetSslTargetNameOverride(credentials.server_name);
  return grpc::CreateCustomChannel(address, credentials.channel, arguments);
}

}  // namespace

Connection::Connection(const std::string& address, std::shared_ptr<const Credentials> credentials)
    : address_(address),
      credentials_(std::move(credentials)),
      channel_(CreateChannel(address_, *credentials_)),
      stub_(channel_),
      raw_stub_(channel_) {}

absl::Status Connection::Authorize(grpc::ClientContext& context) const {
  if (!credentials_->tokens.present()) return absl::OkStatus();
  const absl::StatusOr<std::string> token =
      credentials_->tokens.TokenFor(address_, credentials_->encrypted, credentials_->proxy_from_environment);
  if (!token.ok()) return token.status();
  context.AddMetadata("authorization", "Bearer " + *token);
  return absl::OkStatus();
}

bool Connection::WaitUntilReady(absl::Time deadline) {
  const auto until = absl::ToChronoTime(deadline);
  while (true) {
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return true;
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return false;
    if (!channel_->WaitForStateChange(state, until)) return false;
  }
}

absl::Time DeadlineAfter(absl::Duration timeout) {
  return timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : absl::Now() + timeout;
}

CallContext::CallContext(absl::Time deadline, const std::stop_token& stop_token)
    : on_stop_(stop_token, Cancel{&context_}) {
  if (deadline != absl::InfiniteFuture()) context_.set_deadline(absl::ToChronoTime(deadline));
}

}  // namespace tensorferry
