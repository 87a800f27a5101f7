// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_ADMIN_ADMIN_SERVER_H_
#define TENSORFERRY_SERVER_ADMIN_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tensorferry::server {

// Answers, over HTTP and on a port of its own, those who watch over the server: /metrics, /livez and /readyz. Clients
// that are idle or slow hold nothing up: they have ten seconds, and none as soon as others wait for a thread.
// Safe for concurrent use by multiple threads.
class AdminServer {
 public:
  // Called by several threads at once.
  struct Handlers {
    // Prometheus' text format.
    std::function<std::string()> metrics;
    // OK, or why not.
    std::function<absl::Status()> live;
    std::function<absl::Status()> ready;
  };

  // `address` is host:port or [ipv6]:port; port 0 lets the system choose.
  // Errors: INVALID_ARGUMENT: it is neither; UNAVAILABLE: cannot listen there.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const std::string& address, Handlers handlers);

  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;
  // Waits for handlers that are running.
  ~AdminServer();

  // Where it listens, with the port that was chosen.
  const std::string& address() const { return address_; }

 private:
  class Http;

  AdminServer(std::unique_ptr<Http> http, std::string address);

  const std::unique_ptr<Http> http_;
  const std::string address_;
};

// INVALID_ARGUMENT unless an admin server could be asked to listen at the address.
absl::Status CheckAdminAddress(const std::string& address);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_ADMIN_ADMIN_SERVER_H_
