// SPDX-License-Identifier: Apache-2.0
#include "server/stream/read_ahead.h"

#include <algorithm>
#include <utility>

namespace tensorferry::server {

void ReadAhead::Schedule(const MessagePacker& packer, const ExtentLoader& loader, WorkerPool& workers) {
  if (is_reading_ == nullptr) is_reading_ = std::make_shared<std::atomic<bool>>(false);
  if (*is_reading_ || !workers.has_spare_threads()) return;
  std::optional<FileRange> range = Next(packer, loader);
  if (!range) return;
  *is_reading_ = true;
  workers.Schedule([range = *std::move(range), is_reading = is_reading_] {
    ExtentLoader::BringIn(range);
    *is_reading = false;
  });
}

std::optional<FileRange> ReadAhead::Next(const MessagePacker& packer, const ExtentLoader& loader) {
  if (!loader.uses_mappings()) return std::nullopt;
  const std::optional<MessagePacker::Ahead> ahead = packer.Peek();
  if (!ahead) return std::nullopt;
  const std::int64_t max_end = std::min(ahead->end, ahead->next_end + kMessagesAhead * packer.chunk_bytes());
  if (file_ != ahead->file || end_ < ahead->next_end || end_ > max_end) end_ = ahead->next_end;
  file_ = ahead->file;
  while (end_ < max_end) {
    const std::int64_t begin = std::exchange(end_, std::min(end_ + packer.chunk_bytes(), max_end));
    // Files are read forwards: the last byte arrives last.
    if (!ExtentLoader::WouldBlock(*file_, end_ - 1)) continue;
    return FileRange{.file = file_,
                     .begin = begin,
                     .size_bytes = end_ - begin,
                     .to_mapping = !loader.IsNewBlock(*file_, begin, end_ - begin)};
  }
  return std::nullopt;
}

}  // namespace tensorferry::server
