// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_PROCESS_STATE_H_
#define TENSORFERRY_SERVER_APP_PROCESS_STATE_H_

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "server/metrics/metrics.h"
#include "server/server.h"

namespace tensorferry::server {

// Where the process is between its start and its end, for those who watch over it.
// Safe for concurrent use by multiple threads.
class ProcessState {
 public:
  // `metrics` must outlive this.
  explicit ProcessState(const Metrics& metrics) : metrics_(metrics) {}

  // The root was scanned and `server`, which must outlive this, serves it.
  void BeginServing(const Server& server) { server_ = &server; }
  void BeginDraining() { draining_ = true; }

  // Whether new calls should come here. Errors: UNAVAILABLE: not yet, or not any more.
  absl::Status Ready() const;
  // Whether the process does what it can: it is no reason to end it that it starts, drains or has much to do. Takes two
  // seconds at most. Errors: UNAVAILABLE: new connections are not accepted.
  absl::Status Live() const;
  std::string MetricsText() const;

 private:
  const Metrics& metrics_;
  std::atomic<const Server*> server_ = nullptr;
  std::atomic<bool> draining_ = false;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_PROCESS_STATE_H_
