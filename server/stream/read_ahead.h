// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_READ_AHEAD_H_
#define TENSORFERRY_SERVER_STREAM_READ_AHEAD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "lib/files/mapped_file.h"
#include "server/stream/extent_loader.h"
#include "server/stream/message_packer.h"
#include "server/stream/worker_pool.h"

namespace tensorferry::server {

// Brings the data of later messages into memory while the next one is made. Not safe for concurrent use.
class ReadAhead {
 public:
  // Has a worker bring in the next range, if there is one. Does nothing while another range of the stream is read: the
  // kernel should see a file that is read forwards, and reads ahead itself. Does nothing if no threads are spare.
  void Schedule(const MessagePacker& packer, const ExtentLoader& loader, WorkerPool& workers);

  // Returns the next range that later messages need and that is not in the page cache. It has the size of a message, or
  // less. No range is returned twice. Before the first message there are few ranges. Plans for checksums have none:
  // they read what they need.
  std::optional<FileRange> Next(const MessagePacker& packer, const ExtentLoader& loader);

 private:
  // The distance from the next message, in messages. Disks and network filesystems are fastest with several requests.
  static constexpr std::int64_t kMessagesAhead = 8;

  // The end of the last range.
  std::shared_ptr<const MappedFile> file_;
  std::int64_t end_ = 0;
  std::shared_ptr<std::atomic<bool>> is_reading_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_READ_AHEAD_H_
