// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_FAILOVER_CHANNEL_H_
#define TENSORFERRY_CLIENT_CHANNEL_FAILOVER_CHANNEL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel/connection.h"

namespace tensorferry {

// A connection to one of several servers at a time, which moves on to the next server when one fails. It is made anew
// then even where there is only one server: gRPC would wait for a second and longer before it dials again, and remember
// what a name resolved to. Safe for concurrent use by multiple threads.
class FailoverChannel {
 public:
  using Dial = std::function<std::shared_ptr<Connection>(const std::string& address)>;

  // Begins with `addresses[first % size]`, of which there is at least one, when it is first used.
  FailoverChannel(std::vector<std::string> addresses, std::size_t first, Dial dial);
  FailoverChannel(const FailoverChannel&) = delete;
  FailoverChannel& operator=(const FailoverChannel&) = delete;

  std::size_t address_count() const { return addresses_.size(); }

  // The connection to use now. It stays usable for as long as it is held.
  std::shared_ptr<Connection> Current();

  // To be called when a call over `failed` came to `status`: if another connection may do better, whoever asks from now
  // on gets one. Of several calls that fail over the same connection, the first moves on for all.
  void MoveOn(const std::shared_ptr<Connection>& failed, const absl::Status& status);

 private:
  const std::vector<std::string> addresses_;
  const Dial dial_;
  std::mutex mutex_;  // guards what follows
  std::size_t position_;
  std::shared_ptr<Connection> current_;  // null until it is first used
};

// Returns `status` with the server that it came from, in its message and its details.
absl::Status WithAddress(const Connection& connection, const absl::Status& status);

// The same for an error that is about the server or the way to it. The message of one about the request stays as it is.
absl::Status NameServer(const Connection& connection, const absl::Status& status);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_FAILOVER_CHANNEL_H_
