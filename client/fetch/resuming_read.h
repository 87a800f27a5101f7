// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_RESUMING_READ_H_
#define TENSORFERRY_CLIENT_FETCH_RESUMING_READ_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/channel/connection.h"
#include "client/channel/failover_channel.h"
#include "client/fetch/assembler.h"
#include "client/fetch/fetch_state.h"
#include "client/fetch/request_planner.h"

namespace tensorferry {

// Runs one request to its end, over as many streams as necessary. After a stream breaks off, the next one resumes at
// the first missing byte, on the same or another server. Before it adds bytes of another server, or of another opening
// of the files, it compares the checksums of the bytes that have arrived. Used by one thread at a time.
class ResumingRead {
 public:
  // `channel` and `fetch` must outlive this object.
  ResumingRead(StreamRequest request, FailoverChannel& channel, FetchState& fetch);

  // Returns when every byte has arrived and was confirmed, or with a final error. `report_progress`: calls
  // FetchState::ReportProgress after each message.
  absl::Status Run(bool report_progress);

  // Compares all bytes that have arrived with those of the server at `connection`. If the name of the server resolves
  // to several, compares with the one whose instance is `instance`. If that is empty, the first server that answers
  // sets it. Errors: ABORTED: the bytes differ; UNAVAILABLE: the instance was not found; those of the calls.
  absl::Status CompareAt(Connection& connection, std::string& instance);

  // Returns the instance that has all bytes that have arrived.
  const std::string& instance() const { return assembler_.instance(); }
  const FailoverChannel& channel() const { return channel_; }
  const StreamRequest& request() const { return request_; }
  const Assembler& assembler() const { return assembler_; }

 private:
  // Runs one stream to its end. If its instance must be compared first, ends the stream and sets `to_compare`.
  absl::Status RunStream(Connection& connection, const google::protobuf::Message& message, bool report_progress,
                         std::string& to_compare);
  absl::Status CompareOnce(Connection& connection, const google::protobuf::Message& message,
                           const std::vector<ReceivedRange>& received, std::string& instance, bool& other_instance);
  void ReportConfirmed();

  StreamRequest request_;
  FailoverChannel& channel_;
  FetchState& fetch_;
  Assembler assembler_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_RESUMING_READ_H_
