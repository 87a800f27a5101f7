// SPDX-License-Identifier: Apache-2.0
#include "lib/files/block_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "lib/checksum/crc32c.h"
#include "lib/files/file_io.h"
#include "lib/files/unique_fd.h"
#include "lib/text/quote.h"

namespace tensorferry {

BlockCache::BlockCache(int fd, const std::string& path, std::span<const std::byte> mapping, bool knows_residency)
    : fd_(fd),
      path_(path),
      mapping_(mapping),
      knows_residency_(knows_residency),
      states_(std::make_unique<std::atomic<std::uint64_t>[]>(mapping.size() / kBlockBytes)) {}

std::uint32_t BlockCache::Checksum(std::int64_t index) const {
  const std::uint64_t state = State(index).load(std::memory_order_acquire);
  if ((state & kHasChecksum) != 0) return static_cast<std::uint32_t>(state);
  return Keep(index, Crc32c(mapping_.subspan(static_cast<std::size_t>(index * kBlockBytes), kBlockBytes)));
}

bool BlockCache::HasChecksum(std::int64_t index) const {
  return (State(index).load(std::memory_order_relaxed) & kHasChecksum) != 0;
}

absl::StatusOr<std::uint32_t> BlockCache::Read(std::int64_t index, std::span<std::byte> block) const {
  absl::Status status = ReadExactly(fd_, index * kBlockBytes, block, path_);
  if (!status.ok()) return absl::DataLossError(status.message());
  return Keep(index, Crc32c(block));
}

std::uint32_t BlockCache::Keep(std::int64_t index, std::uint32_t checksum) const {
  std::uint64_t state = State(index).load();
  while ((state & kHasChecksum) == 0) {
    if (State(index).compare_exchange_weak(state, state | kHasChecksum | checksum)) return checksum;
  }
  return static_cast<std::uint32_t>(state);
}

bool BlockCache::IsReady(std::int64_t index) const {
  constexpr std::uint64_t kBoth = kHasChecksum | kPopulated;
  if (!knows_residency_ || (State(index).load(std::memory_order_relaxed) & kBoth) != kBoth) return false;
  constexpr std::size_t kMaxPages = kBlockBytes / 4096;
  std::array<unsigned char, kMaxPages> resident = {};
  const std::byte* block = mapping_.data() + index * kBlockBytes;
  if (::mincore(const_cast<std::byte*>(block), kBlockBytes, resident.data()) != 0) return false;
  const auto pages = static_cast<std::size_t>(kBlockBytes / ::sysconf(_SC_PAGESIZE));
  return std::ranges::all_of(std::span(resident).first(pages), [](unsigned char page) { return (page & 1) != 0; });
}

bool BlockCache::WouldBlock(std::int64_t offset) const {
  char byte = 0;
  const iovec buffer = {.iov_base = &byte, .iov_len = 1};
  return ::preadv2(fd_, &buffer, 1, offset, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

void BlockCache::ReadAhead(std::int64_t offset, std::int64_t size_bytes) const {
  // sendfile to /dev/null copies nothing, and the kernel reads ahead as for any file that is read forwards.
  // posix_fadvise(POSIX_FADV_WILLNEED) allocates small pages, and so sends the disk small requests.
  const UniqueFd null_device(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  off_t position = offset;
  for (ssize_t sent = 1; sent > 0 && position < offset + size_bytes;) {
    sent = ::sendfile(null_device.get(), fd_, &position, static_cast<std::size_t>(offset + size_bytes - position));
  }
}

absl::Status BlockCache::Populate(std::int64_t offset, std::int64_t size_bytes) const {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(mapping_.data() + offset);
  const std::uintptr_t aligned = begin / page * page;
  const std::size_t size = begin + static_cast<std::uintptr_t>(size_bytes) - aligned;
  if (::madvise(reinterpret_cast<void*>(aligned), size, MADV_POPULATE_READ) == 0) {
    const std::int64_t blocks_end = (offset + size_bytes) / kBlockBytes;
    for (std::int64_t index = (offset + kBlockBytes - 1) / kBlockBytes; index < blocks_end; ++index) {
      State(index).fetch_or(kPopulated);
    }
    return absl::OkStatus();
  }
  if (errno == EINVAL) return absl::UnimplementedError("this kernel cannot populate mappings");
  return absl::DataLossError(fmt::format("cannot read bytes [{}, {}) of file {}: it has shrunk or its disk fails",
                                         offset, offset + size_bytes, Quote(path_)));
}

}  // namespace tensorferry
