// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_CONNECTION_H_
#define TENSORFERRY_CLIENT_CHANNEL_CONNECTION_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel/credentials.h"
#include "tensorferry/fetch.h"
#include "tensorferry/v1/tensor_service.grpc.pb.h"

namespace tensorferry {

// One connection to a server: a channel that shares its socket with no other channel, and the stubs over it. Safe
// for concurrent use by multiple threads.
class Connection {
 public:
  Connection(const std::string& address, std::shared_ptr<const Credentials> credentials);

  // Adds the token, if there is one, to the metadata of a call that has not started. Errors: those of
  // TokenSource::TokenFor.
  absl::Status Authorize(grpc::ClientContext& context) const;

  // Connects if necessary, and waits for the connection. Returns false if it failed, or at the deadline. Makes no call.
  bool WaitUntilReady(absl::Time deadline);

  const std::string& address() const { return address_; }
  bool encrypted() const { return credentials_->encrypted; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::TensorService::Stub& stub() { return stub_; }
  grpc::GenericStub& raw_stub() { return raw_stub_; }

 private:
  const std::string address_;
  const std::shared_ptr<const Credentials> credentials_;
  std::shared_ptr<grpc::Channel> channel_;
  v1::TensorService::Stub stub_;
  grpc::GenericStub raw_stub_;
};

// Returns the deadline of a call that begins now and may make several RPCs.
absl::Time DeadlineAfter(absl::Duration timeout);

// The context of one RPC, which is cancelled at the deadline or when a stop is requested.
class CallContext {
 public:
  CallContext(absl::Time deadline, const std::stop_token& stop_token);
  CallContext(const CallContext&) = delete;
  CallContext& operator=(const CallContext&) = delete;

  grpc::ClientContext& grpc() { return context_; }

 private:
  struct Cancel {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };

  grpc::ClientContext context_;
  std::stop_callback<Cancel> on_stop_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_CONNECTION_H_
