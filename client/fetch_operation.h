// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_OPERATION_H_
#define TENSORFERRY_CLIENT_FETCH_OPERATION_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "client/fetch_plan.h"
#include "client/link.h"
#include "client/retry_loop.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// One fetch from its plan to its result: runs each lane on a link of its own, the first on the calling thread, takes
// up again what breaks off, and stops them all at the first error that stays. Used once.
class FetchOperation {
 public:
  // `options`, `links` and `retry` must outlive it; there are at least as many links as lanes.
  FetchOperation(std::span<const std::unique_ptr<Link>> links, std::vector<Lane> lanes, std::size_t read_count,
                 std::string fingerprint, const FetchOptions& options, const Retry& retry);

  absl::StatusOr<FetchResult> Run();

 private:
  // Until every byte has landed.
  absl::Status FillDestinations();
  void RunLanes();
  void RunLane(std::size_t index);
  // Brings all of `request`, however many streams that takes.
  absl::Status RunRequest(Link& link, const StreamRequest& request, bool report_progress);
  // One stream of it: `message` asks for what `assembler` lacks.
  absl::Status RunStream(Connection& connection, const std::string& method, const google::protobuf::Message& message,
                         Assembler& assembler, bool report_progress);
  // The generation that all streams must have; empty while any would do.
  std::string AgreedGeneration();
  // Errors: ABORTED: another one was agreed on.
  absl::Status AgreeOn(const std::string& generation);
  void Merge(const StreamRequest& request, std::vector<ReadResult> results);
  void Fail(const absl::Status& status);
  void ReportProgress();
  void ReportRetry(const absl::Status& status, absl::Duration delay);

  const std::span<const std::unique_ptr<Link>> links_;
  std::vector<Lane> lanes_;
  std::vector<Destination*> destinations_;
  const std::string fingerprint_;
  const FetchOptions& options_;
  const Retry& retry_;
  const absl::Time deadline_;
  std::int64_t bytes_total_ = 0;
  std::atomic<std::int64_t> bytes_done_ = 0;
  std::stop_source stop_;    // stops all lanes
  std::mutex report_mutex_;  // held while the caller's functions are called

  std::mutex mutex_;  // guards what follows
  std::condition_variable lane_ended_;
  std::size_t lanes_running_ = 0;
  absl::Status status_;
  FetchResult result_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_OPERATION_H_
