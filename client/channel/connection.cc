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
  // Limits the bytes on their way to a stream whose caller is busy. Otherwise gRPC lets them grow with the bandwidth,
  // to tens of MiB.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 << 20);
  // One frame per message, because each frame costs both sides. Other streams are not delayed: gRPC writes 1 MiB at a
  // time anyway.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 4 << 20);
  // Limits the time of a connection attempt. gRPC's default is 20 s for an address that does not answer, before it
  // dials the next one.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  // Pings detect a host that vanished. The server permits them.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A name may resolve to several servers (a headless Service). The calls go to them in turn, and none waits for a
  // server that is down. gRPC's default is to use the first address only.
  if (address.starts_with("dns:")) arguments.SetLoadBalancingPolicyName("round_robin");
  // Our own retries resume. Those of gRPC repeat calls that no server has seen, and inspect every message. In gRPC 1.51
  // they crash if a damaged frame and a deadline coincide.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // gRPC applies the proxy variables even to loopback addresses.
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
