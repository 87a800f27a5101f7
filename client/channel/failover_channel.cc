// SPDX-License-Identifier: Apache-2.0
#include "client/channel/failover_channel.h"

#include <utility>

#include "client/channel/retry_policy.h"

namespace tensorferry {

FailoverChannel::FailoverChannel(std::vector<std::string> addresses, std::size_t first, Dial dial)
    : addresses_(std::move(addresses)), dial_(std::move(dial)), position_(first % addresses_.size()) {}

std::shared_ptr<Connection> FailoverChannel::Current() {
  const MutexLock lock(&mutex_);
  if (current_ == nullptr) current_ = dial_(addresses_[position_]);
  return current_;
}

void FailoverChannel::MoveOn(const std::shared_ptr<Connection>& failed, const absl::Status& status) {
  if (!RetryPolicy::IsRetryable(status)) return;
  // Another handshake would only add to the load of an overloaded server.
  if (addresses_.size() == 1 && absl::IsResourceExhausted(status)) return;
  const MutexLock lock(&mutex_);
  if (current_ != failed) return;
  position_ = (position_ + 1) % addresses_.size();
  current_ = dial_(addresses_[position_]);
}

}  // namespace tensorferry
