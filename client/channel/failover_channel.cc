// SPDX-License-Identifier: Apache-2.0
#include "client/channel/failover_channel.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/channel/attach_details.h"
#include "client/channel/connection_hint.h"
#include "client/channel/retry_policy.h"
#include "lib/text/quote.h"
#include "lib/wire/retry_info.h"

namespace tensorferry {
namespace {

absl::Status AddDetails(const Connection& connection, absl::Status status) {
  const bool may_be_temporary = RetryPolicy::IsRetryable(status) || absl::IsDeadlineExceeded(status);
  return WithDetails(std::move(status), {.server = connection.address(), .may_be_temporary = may_be_temporary});
}

}  // namespace

FailoverChannel::FailoverChannel(std::vector<std::string> addresses, std::size_t first, Dial dial)
    : addresses_(std::move(addresses)), dial_(std::move(dial)), position_(first % addresses_.size()) {}

std::shared_ptr<Connection> FailoverChannel::Current() {
  const std::lock_guard lock(mutex_);
  if (current_ == nullptr) current_ = dial_(addresses_[position_]);
  return current_;
}

void FailoverChannel::MoveOn(const std::shared_ptr<Connection>& failed, const absl::Status& status) {
  if (!RetryPolicy::IsRetryable(status)) return;
  // A server that has too much to do gains nothing from another handshake.
  if (addresses_.size() == 1 && absl::IsResourceExhausted(status)) return;
  const std::lock_guard lock(mutex_);
  if (current_ != failed) return;
  position_ = (position_ + 1) % addresses_.size();
  current_ = dial_(addresses_[position_]);
}

absl::Status WithAddress(const Connection& connection, const absl::Status& status) {
  const std::string message(status.message());
  absl::Status named(status.code(), fmt::format("server {}: {}{}", Quote(connection.address()), message,
                                                ConnectionHint(message, connection.encrypted())));
  if (const auto delay = wire::RetryDelayOf(status)) named = wire::WithRetryDelay(std::move(named), *delay);
  return AddDetails(connection, std::move(named));
}

absl::Status NameServer(const Connection& connection, const absl::Status& status) {
  const bool is_about_server =
      RetryPolicy::IsRetryable(status) || absl::IsDeadlineExceeded(status) || absl::IsUnimplemented(status);
  return is_about_server ? WithAddress(connection, status) : AddDetails(connection, status);
}

}  // namespace tensorferry
