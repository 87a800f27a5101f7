// SPDX-License-Identifier: Apache-2.0
#include "client/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/connection_hint.h"
#include "client/retry_policy.h"
#include "lib/wire/retry_info.h"
#include "tensorferry/quote.h"

namespace tensorferry {
namespace {

std::string_view WithoutSpaces(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

}  // namespace

Link::Link(std::vector<std::string> addresses, std::size_t first, Dial dial)
    : addresses_(std::move(addresses)),
      dial_(std::move(dial)),
      position_(first % addresses_.size()),
      current_(dial_(addresses_[position_])) {}

std::shared_ptr<Connection> Link::Current() {
  const std::lock_guard lock(mutex_);
  return current_;
}

void Link::MoveOn(const std::shared_ptr<Connection>& failed, const absl::Status& status) {
  if (!RetryPolicy::IsRetryable(status)) return;
  // A server that has too much to do gains nothing from another handshake.
  if (addresses_.size() == 1 && absl::IsResourceExhausted(status)) return;
  const std::lock_guard lock(mutex_);
  if (current_ != failed) return;
  position_ = (position_ + 1) % addresses_.size();
  current_ = dial_(addresses_[position_]);
}

absl::StatusOr<std::vector<std::string>> ParseAddresses(std::string_view list) {
  std::vector<std::string> addresses;
  std::size_t begin = 0;
  while (begin <= list.size()) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    addresses.emplace_back(WithoutSpaces(list.substr(begin, end - begin)));
    if (addresses.back().empty()) {
      return absl::InvalidArgumentError(fmt::format("an address is empty in {}", Quote(list)));
    }
    begin = end + 1;
  }
  return addresses;
}

absl::Status WithAddress(const Connection& connection, const absl::Status& status) {
  const std::string message(status.message());
  absl::Status named(status.code(), fmt::format("server {}: {}{}", Quote(connection.address()), message,
                                                ConnectionHint(message, connection.encrypted())));
  if (const auto delay = wire::RetryDelayOf(status)) named = wire::WithRetryDelay(std::move(named), *delay);
  return named;
}

absl::Status NameServer(const Connection& connection, const absl::Status& status) {
  const bool is_about_server =
      RetryPolicy::IsRetryable(status) || absl::IsDeadlineExceeded(status) || absl::IsUnimplemented(status);
  return is_about_server ? WithAddress(connection, status) : status;
}

}  // namespace tensorferry
