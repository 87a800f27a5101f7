// SPDX-License-Identifier: Apache-2.0
#include "server/app/process_state.h"

#include <chrono>

#include "server/admin/accept_check.h"

namespace tensorferry::server {

absl::Status ProcessState::Ready() const {
  if (draining_) return absl::UnavailableError("draining: the server is shutting down");
  if (server_ == nullptr) return absl::UnavailableError("starting: the root is being scanned");
  return absl::OkStatus();
}

absl::Status ProcessState::Live() const {
  const Server* const server = server_;
  if (server == nullptr || draining_) return absl::OkStatus();
  absl::Status status = CheckAccepts(server->bound_to(), std::chrono::seconds(2));
  // Draining may have begun meanwhile.
  return draining_ ? absl::OkStatus() : status;
}

std::string ProcessState::MetricsText() const {
  const Server* const server = server_;
  return metrics_.Text(server == nullptr ? Levels{} : server->levels());
}

}  // namespace tensorferry::server
