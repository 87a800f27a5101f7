// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_FAILOVER_CHANNEL_H_
#define TENSORFERRY_CLIENT_CHANNEL_FAILOVER_CHANNEL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "client/channel/connection.h"
#include "lib/sync/mutex.h"

namespace tensorferry {

// A connection to one of several servers at a time, which moves to the next server when one fails. It reconnects even
// if there is only one server: gRPC would wait for a second or longer before it dials again, and would keep the address
// that a name resolved to. Safe for concurrent use by multiple threads.
class FailoverChannel {
 public:
  using Dial = std::function<std::shared_ptr<Connection>(const std::string& address)>;

  // Begins with `addresses[first % size]` when it is first used. `addresses` is not empty.
  FailoverChannel(std::vector<std::string> addresses, std::size_t first, Dial dial);
  FailoverChannel(const FailoverChannel&) = delete;
  FailoverChannel& operator=(const FailoverChannel&) = delete;

  std::size_t address_count() const { return addresses_.size(); }

  // Returns the connection to use now. It stays usable for as long as it is held.
  std::shared_ptr<Connection> Current() ABSL_LOCKS_EXCLUDED(mutex_);

  // Reports that a call over `failed` ended with `status`. If another connection may succeed, Current returns a new one
  // from now on. If several calls fail over the same connection, only the first report has an effect.
  void MoveOn(const std::shared_ptr<Connection>& failed, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const std::vector<std::string> addresses_;
  const Dial dial_;
  Mutex mutex_;
  std::size_t position_ ABSL_GUARDED_BY(mutex_);
  // Null until it is first used.
  std::shared_ptr<Connection> current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_FAILOVER_CHANNEL_H_
