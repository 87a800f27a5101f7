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

// Brings all of one request, however many streams that takes: a stream that breaks off is resumed at its first missing
// byte, on the same or another server. Before bytes of another server, or of another opening of the files, are added to
// those that have arrived, it compares the checksums of the latter. Used by one thread at a time.
class ResumingRead {
 public:
  // `link` and `fetch` must outlive it.
  ResumingRead(StreamRequest request, FailoverChannel& link, FetchState& fetch);

  // Returns when every byte has arrived and was confirmed. `report_progress`: after each message.
  absl::Status Run(bool report_progress);

  // Compares all bytes, which have arrived, with those of the server at `connection`. A name may stand for several
  // servers: of these, with the one whose instance is `instance`. If that is empty, the first that answers sets it.
  // Errors: ABORTED: they differ; UNAVAILABLE: the instance was not found; those of the calls.
  absl::Status CompareAt(Connection& connection, std::string& instance);

  // Where the bytes are from.
  const std::string& instance() const { return assembler_.instance(); }
  const FailoverChannel& link() const { return link_; }
  const StreamRequest& request() const { return request_; }
  const Assembler& assembler() const { return assembler_; }

 private:
  // Runs one stream to its end. If it is of an instance that must be compared first, ends it and returns that in
  // `to_compare`.
  absl::Status RunStream(Connection& connection, const google::protobuf::Message& message, bool report_progress,
                         std::string& to_compare);
  absl::Status CompareOnce(Connection& connection, const google::protobuf::Message& message,
                           const std::vector<ReceivedRange>& received, std::string& instance, bool& other_instance);
  void ReportConfirmed();

  StreamRequest request_;
  FailoverChannel& link_;
  FetchState& fetch_;
  Assembler assembler_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_RESUMING_READ_H_
