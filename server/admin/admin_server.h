// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_ADMIN_ADMIN_SERVER_H_
#define TENSORFERRY_SERVER_ADMIN_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tensorferry::server {

// Serves /metrics, /livez and /readyz over HTTP on its own port. Idle and slow clients do not block others: a request
// may take ten seconds, and hardly any time once others wait for a thread.
// Safe for concurrent use by multiple threads.
class AdminServer {
 public:
  // Called by several threads at once.
  struct Handlers {
    // Prometheus' text format.
    std::function<std::string()> metrics;
    // OK, or the reason why not.
    std::function<absl::Status()> live;
    std::function<absl::Status()> ready;
  };

  // `address` is host:port or [ipv6]:port. Port 0: the system chooses one.
  // Errors: INVALID_ARGUMENT: a malformed address; UNAVAILABLE: cannot listen on it.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const std::string& address, Handlers handlers);

  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;
  // Waits for running handlers.
  ~AdminServer();

  // Returns the address with the port that was chosen.
  const std::string& address() const { return address_; }

 private:
  class Http;

  AdminServer(std::unique_ptr<Http> http, std::string address);

  const std::unique_ptr<Http> http_;
  const std::string address_;
};

// Validates an address for an admin server. Errors: INVALID_ARGUMENT, with the address.
absl::Status CheckAdminAddress(const std::string& address);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_ADMIN_ADMIN_SERVER_H_
