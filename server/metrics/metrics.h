// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_METRICS_METRICS_H_
#define TENSORFERRY_SERVER_METRICS_METRICS_H_

#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "server/metrics/rpc_metrics.h"

namespace tensorferry::server {

// Faults of files that the server reads, except models that cannot be loaded.
enum class Fault : unsigned char {
  kScan,         // the root could not be scanned
  kFileChanged,  // a stream ended because its file changed
  kReadFailed,   // a stream ended because its file could not be read
  kCertificate,  // a certificate, key or CA file could not be reloaded
  kTokens,       // the token file could not be reloaded
};

// Current values of gauges.
struct Levels {
  std::int64_t active_streams = 0;
  std::int64_t in_flight_bytes = 0;
  std::int64_t models_ready = 0;
  std::int64_t models_failed = 0;
};

// The server's metrics for Prometheus. Neither clients nor files can choose the values of labels.
// Safe for concurrent use by multiple threads.
class Metrics {
 public:
  Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  RpcMetrics& rpcs() { return rpcs_; }
  void CountFault(Fault fault) { ++faults_[static_cast<std::size_t>(fault)]; }
  void CountStalledStream() { stalled_streams_.Increment(); }
  // Counts a scan, successful or not.
  void CountScan(std::chrono::duration<double> time);
  // Counts models that a scan found and that cannot be loaded.
  void CountModelLoadErrors(std::int64_t count) { model_load_errors_.Increment(static_cast<double>(count)); }
  // Sets the end of the certificate's validity, in seconds since the epoch.
  void set_certificate_expiry(std::int64_t unix_seconds) { certificate_expiry_ = unix_seconds; }

  // Returns all metrics in Prometheus' text format.
  std::string Text(const Levels& levels) const;

 private:
  static constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::kTokens) + 1;

  prometheus::Registry registry_;
  RpcMetrics rpcs_;
  prometheus::Counter& stalled_streams_;
  prometheus::Counter& scans_;
  prometheus::Histogram& scan_seconds_;
  prometheus::Counter& model_load_errors_;
  std::array<std::atomic<std::int64_t>, kFaults> faults_ = {};
  std::atomic<std::int64_t> certificate_expiry_ = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_METRICS_METRICS_H_
