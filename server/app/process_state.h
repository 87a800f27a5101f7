// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_PROCESS_STATE_H_
#define TENSORFERRY_SERVER_APP_PROCESS_STATE_H_

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "server/metrics/metrics.h"
#include "server/server.h"

namespace tensorferry::server {

// State of the process between its start and its end, for probes and metrics.
// Safe for concurrent use by multiple threads.
class ProcessState {
 public:
  // `metrics` must outlive this.
  explicit ProcessState(const Metrics& metrics) : metrics_(metrics) {}

  // `server` serves the scanned root. It must outlive this.
  void BeginServing(const Server& server) { server_ = &server; }
  void BeginDraining() { draining_ = true; }

  // Returns OK if clients should send new calls to this server. Errors: UNAVAILABLE: it is starting or draining.
  absl::Status Ready() const;
  // Returns OK unless the process should be restarted: starting, draining and high load are no reason for that. Takes
  // at most two seconds. Errors: UNAVAILABLE: new connections are not accepted.
  absl::Status Live() const;
  // Returns all metrics in Prometheus' text format.
  std::string MetricsText() const;

 private:
  const Metrics& metrics_;
  std::atomic<const Server*> server_ = nullptr;
  std::atomic<bool> draining_ = false;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_PROCESS_STATE_H_
