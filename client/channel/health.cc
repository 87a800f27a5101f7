// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/health.h"

#include <fmt/format.h>
#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/generic/generic_stub.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "client/channel/call_error.h"
#include "client/channel/connection.h"
#include "client/channel/credentials.h"
#include "client/channel/server_address.h"
#include "lib/text/quote.h"
#include "lib/wire/status_conversion.h"

namespace tensorferry {
namespace {

// On the wire, a HealthCheckRequest is a string in field 1, and its response is a number in field 1.
using Request = google::protobuf::StringValue;
using Response = google::protobuf::Int32Value;
constexpr std::int32_t kServing = 1;

}  // namespace

absl::Status CheckHealth(std::string_view address, std::string_view service, absl::Duration timeout,
                         const ClientOptions& options) {
  if (address.empty() || address.find(',') != std::string_view::npos) {
    return absl::InvalidArgumentError(fmt::format("give the address of one server, not {}", Quote(address)));
  }
  const absl::StatusOr<std::string> parsed = ParseServerAddress(address);
  if (!parsed.ok()) return parsed.status();
  const absl::StatusOr<std::shared_ptr<const Credentials>> credentials =
      MakeCredentials(options.tls, options.token, options.proxy_from_environment);
  if (!credentials.ok()) return credentials.status();
  const Connection connection(*parsed, *credentials);
  CallContext context(DeadlineAfter(timeout), {});
  if (absl::Status status = connection.Authorize(context.grpc()); !status.ok()) return status;

  Request request;
  request.set_value(std::string(service));
  Response response;
  // Shared: gRPC's thread may still be inside set_value when this function returns.
  const auto done = std::make_shared<std::promise<grpc::Status>>();
  grpc::TemplatedGenericStub<Request, Response> stub(connection.channel());
  stub.UnaryCall(&context.grpc(), "/grpc.health.v1.Health/Check", {}, &request, &response,
                 [done](const grpc::Status& status) { done->set_value(status); });
  const absl::Status status = ExplainTimeout(wire::FromGrpc(done->get_future().get()), timeout);
  if (absl::IsNotFound(status)) {
    return WithAddress(connection,
                       absl::NotFoundError(fmt::format("no service {} in its health service", Quote(service))));
  }
  if (!status.ok()) return WithAddress(connection, status);
  if (response.value() == kServing) return absl::OkStatus();
  return WithAddress(connection,
                     absl::FailedPreconditionError(fmt::format("service {} is not serving", Quote(service))));
}

}  // namespace tensorferry
