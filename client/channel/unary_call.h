// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_UNARY_CALL_H_
#define TENSORFERRY_CLIENT_CHANNEL_UNARY_CALL_H_

#include <memory>
#include <stop_token>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/channel/call_error.h"
#include "client/channel/connection.h"
#include "client/channel/failover_channel.h"
#include "client/channel/retry_loop.h"
#include "lib/wire/status_conversion.h"

namespace tensorferry {

template <typename Request, typename Response>
using UnaryMethod = grpc::Status (v1::TensorService::Stub::*)(grpc::ClientContext*, const Request&, Response*);

// Calls a unary method once.
template <typename Request, typename Response>
absl::StatusOr<Response> CallOnce(Connection& connection, UnaryMethod<Request, Response> method, const Request& request,
                                  absl::Time deadline, const std::stop_token& stop_token) {
  // gRPC may still make a call whose deadline has just passed.
  if (absl::Now() >= deadline) return absl::DeadlineExceededError("the deadline passed before the call");
  CallContext context(deadline, stop_token);
  if (absl::Status status = connection.Authorize(context.grpc()); !status.ok()) return status;
  Response response;
  const grpc::Status status = (connection.stub().*method)(&context.grpc(), request, &response);
  if (!status.ok()) return NameServer(connection, wire::FromGrpc(status));
  return response;
}

// Calls a unary method until it succeeds, or until its error is final. `options.timeout` is for the error's text only.
template <typename Request, typename Response>
absl::StatusOr<Response> CallWithRetry(FailoverChannel& channel, const Retry& retry,
                                       UnaryMethod<Request, Response> method, const Request& request,
                                       absl::Time deadline, const CallOptions& options) {
  RetryLoop loop(retry, deadline, options.stop_token, options.on_retry);
  while (true) {
    const std::shared_ptr<Connection> connection = channel.Current();
    absl::StatusOr<Response> response = CallOnce(*connection, method, request, deadline, options.stop_token);
    if (response.ok()) return response;
    // Also before giving up, so that the next call does not begin with a connection in backoff.
    if (!options.stop_token.stop_requested()) channel.MoveOn(connection, response.status());
    if (absl::Status given_up = loop.WaitAfter(response.status()); !given_up.ok()) {
      return ExplainTimeout(given_up, options.timeout);
    }
  }
}

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_UNARY_CALL_H_
