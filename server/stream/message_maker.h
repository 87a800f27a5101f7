// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_MESSAGE_MAKER_H_
#define TENSORFERRY_SERVER_STREAM_MESSAGE_MAKER_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/stream/buffer_pool.h"
#include "server/stream/confirmation.h"
#include "server/stream/extent_loader.h"
#include "server/stream/in_flight_bytes.h"
#include "server/stream/message_packer.h"
#include "server/stream/options.h"
#include "server/stream/read_ahead.h"
#include "server/stream/stream_plan.h"
#include "server/stream/worker_pool.h"

namespace tensorferry::server {

// A message of a stream, encoded. Moving it is cheap, unlike that of gRPC's buffers.
struct Message {
  Message() = default;
  Message(grpc::ByteBuffer encoded, std::int64_t size_bytes) : data_bytes(size_bytes) { bytes.Swap(&encoded); }
  Message(Message&& other) noexcept : data_bytes(other.data_bytes) { bytes.Swap(&other.bytes); }
  Message& operator=(Message&& other) noexcept {
    bytes.Swap(&other.bytes);
    data_bytes = other.data_bytes;
    return *this;
  }

  grpc::ByteBuffer bytes;
  // Bytes of tensors or files in it.
  std::int64_t data_bytes = 0;
};

// Makes the messages of a plan, one after the other: packs a message, loads its data, adds the data to a window, and
// encodes it all. A plan for checksums gives the same messages without their data. Not safe for concurrent use.
class MessageMaker {
 public:
  // The size of a buffer is the size of a message's data. `in_flight` counts the data that gRPC holds.
  MessageMaker(StreamPlan plan, IoMode io, std::shared_ptr<BufferPool> buffers,
               std::shared_ptr<InFlightBytes> in_flight);

  // Divides the data into windows, which enter `released` when gRPC has released them. There is at least one. Call it
  // before Next; without it there are no windows.
  void TrackWindows(std::shared_ptr<ReleasedWindows> released) { released_ = std::move(released); }

  // Returns the whole stream as one message if it is small and in the page cache. Its data is copied, and its files
  // were found unchanged afterwards, so it is confirmed: no wait for streams that read from the disk, no worker, and no
  // wait for the release. Call it first, if at all; without an answer, continue with Next.
  std::optional<Message> AnswerFromCache();

  // Returns true if a message was made.
  bool started() const { return packer_.started() && !packed_; }
  // Returns true if all messages were made. There is at least one, even without data.
  bool done() const { return packer_.done() && !packed_; }
  // Returns true if Next would neither wait nor compute: the next message is a block of a file, ready in memory.
  bool NextIsReady() const;

  // Returns the next message, which confirms the first `confirmed_size_bytes` of the stream; 0: no news. Must not be
  // called when done. May wait for the disk. Errors: DATA_LOSS: a file shrank, or its disk failed; those of the
  // operating system.
  absl::StatusOr<Message> Next(std::int64_t confirmed_size_bytes = 0);

  // Has a worker bring in data that later messages need.
  void ReadAhead(WorkerPool& workers) { read_ahead_.Schedule(packer_, loader_, workers); }

  // Returns ABORTED if a file of the plan has changed since it was opened.
  absl::Status CheckUnchanged() const;

 private:
  // Limits of a stream that is answered from the page cache. Runs of slices are few, because much of their surroundings
  // may have to be read.
  static constexpr std::int64_t kMaxCachedBytes = 64 << 10;
  static constexpr std::size_t kMaxCachedReads = 64;
  static constexpr std::int64_t kMaxCachedRuns = 8;
  // The contract promises confirmations at least every 16 MiB. They come with the message after the release of a
  // window, when a few more messages are on their way already.
  static constexpr std::int64_t kWindowBytes = 8 << 20;

  bool MayBeAnsweredFromCache() const;
  Message Encode(const PackedMessage& packed, const ExtentLoader::Data& data, std::int64_t confirmed_size_bytes);
  // Returns the window of the next data, with the files of `packed`; null if windows are not tracked.
  std::shared_ptr<SentWindow> OpenWindow(const PackedMessage& packed);
  // Counts the data of a message, and closes the window if it is full or the last one.
  void CloseWindow(std::int64_t data_bytes);

  MessagePacker packer_;
  ExtentLoader loader_;
  server::ReadAhead read_ahead_;
  const IoMode io_;
  // A message that could not be loaded from the page cache.
  std::optional<PackedMessage> packed_;
  std::shared_ptr<ReleasedWindows> released_;
  std::shared_ptr<SentWindow> window_;  // null while it has no data
  std::int64_t windows_ = 0;            // opened so far
  std::int64_t window_bytes_ = 0;       // data in the open window
  std::int64_t sent_bytes_ = 0;         // data in all messages
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_MESSAGE_MAKER_H_
