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
#include "tensorferry/fetch.h"

namespace tensorferry {

// One fetch from its plan to its result: runs each lane on a connection of its own, the first on the calling thread,
// and stops them all at the first error. Used once.
class FetchOperation {
 public:
  // `options` and `connections` must outlive it; there are at least as many connections as lanes.
  FetchOperation(std::span<const std::unique_ptr<Connection>> connections, std::vector<Lane> lanes,
                 std::size_t read_count, std::string fingerprint, const FetchOptions& options);

  absl::StatusOr<FetchResult> Run();

 private:
  void RunLane(std::size_t index);
  absl::Status RunStream(Connection& connection, StreamRequest& request, bool report_progress);
  // Takes the results of one stream. Errors: ABORTED: they are of another generation than those before.
  absl::Status Merge(const StreamRequest& request, const Assembler& assembler);
  void Fail(const absl::Status& status);
  void ReportProgress() const;
  absl::Status FinishDestinations();

  const std::span<const std::unique_ptr<Connection>> connections_;
  std::vector<Lane> lanes_;
  const std::string fingerprint_;
  const FetchOptions& options_;
  const absl::Time deadline_;
  std::int64_t bytes_total_ = 0;
  std::atomic<std::int64_t> bytes_done_ = 0;
  std::stop_source stop_;  // stops all lanes

  std::mutex mutex_;  // guards what follows
  std::condition_variable lane_ended_;
  std::size_t lanes_running_ = 0;
  absl::Status status_;
  FetchResult result_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_OPERATION_H_
