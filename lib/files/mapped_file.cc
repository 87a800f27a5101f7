// SPDX-License-Identifier: Apache-2.0
#include "lib/files/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <utility>

#include "lib/checksum/crc32c.h"
#include "lib/files/file_identity.h"
#include "lib/files/file_io.h"
#include "lib/files/mapping_table.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

std::atomic<std::int64_t> mapped_bytes = 0;

// Random, because a number that is counted up is the same in a process and in its fork.
std::string MakeInstance() {
  std::array<std::uint8_t, 16> random = {};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    std::random_device device;
    for (std::uint8_t& byte : random) byte = static_cast<std::uint8_t>(device());
  }
  return fmt::format("{:02x}", fmt::join(random, ""));
}

// To others than these the kernel says of every page that it is in memory.
bool MayAskForResidency(int fd, const struct stat& stat) {
  return stat.st_uid == ::geteuid() || ::faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

}  // namespace

std::int64_t MappedFile::MappedBytes() { return mapped_bytes.load(std::memory_order_relaxed); }

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  // A FIFO would block an open that waits for its writer.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open", path);
  return Map(std::move(fd), path);
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Map(UniqueFd fd, std::string path) {
  struct stat stat = {};
  if (::fstat(fd.get(), &stat) != 0) return ErrnoStatus(errno, "cannot stat", path);
  if (!S_ISREG(stat.st_mode)) {
    return absl::FailedPreconditionError(fmt::format("cannot open {}: it is not a regular file", Quote(path)));
  }
  std::span<const std::byte> bytes;
  if (stat.st_size > 0) {
    const auto size = static_cast<std::size_t>(stat.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED) return ErrnoStatus(errno, "cannot map", path);
    bytes = {static_cast<const std::byte*>(address), size};
  }
  const bool knows_residency = MayAskForResidency(fd.get(), stat);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(std::move(fd), std::move(path), IdentityOf(stat), bytes, knows_residency));
}

MappedFile::MappedFile(UniqueFd fd, std::string path, FileIdentity identity, std::span<const std::byte> bytes,
                       bool knows_residency)
    : fd_(std::move(fd)),
      path_(std::move(path)),
      identity_(identity),
      bytes_(bytes),
      instance_(MakeInstance()),
      knows_residency_(knows_residency),
      mapping_(bytes.empty() ? nullptr : mapping_table::Add(bytes)),
      blocks_(std::make_unique<std::atomic<std::uint64_t>[]>(bytes.size() / kBlockBytes)) {
  mapped_bytes.fetch_add(size_bytes(), std::memory_order_relaxed);
}

MappedFile::~MappedFile() {
  mapped_bytes.fetch_sub(size_bytes(), std::memory_order_relaxed);
  if (mapping_ == nullptr) return;
  mapping_table::Remove(mapping_);
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

bool MappedFile::damaged() const { return mapping_ != nullptr && mapping_->poisoned; }

absl::Status MappedFile::CheckUnchanged() const {
  if (damaged()) {
    return absl::AbortedError(
        fmt::format("file {} could not be read to its end: it was truncated, or its disk failed", Quote(path_)));
  }
  struct stat stat = {};
  if (::fstat(fd_.get(), &stat) != 0) return ErrnoStatus(errno, "cannot stat", path_);
  if (IdentityOf(stat) == identity_) return absl::OkStatus();
  return absl::AbortedError(fmt::format("file {} changed while it was served", Quote(path_)));
}

std::uint32_t MappedFile::BlockChecksum(std::int64_t index) const {
  const std::uint64_t known = blocks_[static_cast<std::size_t>(index)].load(std::memory_order_acquire);
  if ((known & kTaken) != 0) return static_cast<std::uint32_t>(known);
  return KeepChecksum(index, Crc32c(bytes_.subspan(static_cast<std::size_t>(index * kBlockBytes), kBlockBytes)));
}

bool MappedFile::HasBlockChecksum(std::int64_t index) const {
  return (blocks_[static_cast<std::size_t>(index)].load(std::memory_order_relaxed) & kTaken) != 0;
}

absl::StatusOr<std::uint32_t> MappedFile::ReadBlock(std::int64_t index, std::span<std::byte> block) const {
  absl::Status status = ReadExactly(fd_.get(), index * kBlockBytes, block, path_);
  if (!status.ok()) return absl::DataLossError(status.message());
  return KeepChecksum(index, Crc32c(block));
}

std::uint32_t MappedFile::KeepChecksum(std::int64_t index, std::uint32_t checksum) const {
  std::atomic<std::uint64_t>& block = blocks_[static_cast<std::size_t>(index)];
  std::uint64_t known = block.load();
  while ((known & kTaken) == 0) {
    if (block.compare_exchange_weak(known, known | kTaken | checksum)) return checksum;
  }
  return static_cast<std::uint32_t>(known);
}

bool MappedFile::BlockIsReady(std::int64_t index) const {
  const std::uint64_t known = blocks_[static_cast<std::size_t>(index)].load(std::memory_order_relaxed);
  if (!knows_residency_ || (known & kTaken) == 0 || (known & kPopulated) == 0) return false;
  constexpr std::size_t kMaxPages = kBlockBytes / 4096;
  std::array<unsigned char, kMaxPages> resident = {};
  const std::byte* block = bytes_.data() + index * kBlockBytes;
  if (::mincore(const_cast<std::byte*>(block), kBlockBytes, resident.data()) != 0) return false;
  const auto pages = static_cast<std::size_t>(kBlockBytes / ::sysconf(_SC_PAGESIZE));
  return std::ranges::all_of(std::span(resident).first(pages), [](unsigned char page) { return (page & 1) != 0; });
}

bool MappedFile::MustWaitFor(std::int64_t offset) const {
  char byte = 0;
  const iovec buffer = {.iov_base = &byte, .iov_len = 1};
  return ::preadv2(fd_.get(), &buffer, 1, offset, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

void MappedFile::ReadAhead(std::int64_t offset, std::int64_t size_bytes) const {
  // Nothing is copied to there. posix_fadvise(POSIX_FADV_WILLNEED) makes small pages, of which a disk gets small
  // requests; here the system sees a file that is read forwards, and does as for any other.
  const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  off_t position = offset;
  for (ssize_t sent = 1; sent > 0 && position < offset + size_bytes;) {
    sent = ::sendfile(nowhere.get(), fd_.get(), &position, static_cast<std::size_t>(offset + size_bytes - position));
  }
}

absl::Status MappedFile::Populate(std::int64_t offset, std::int64_t size_bytes) const {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes_.data() + offset);
  const std::uintptr_t aligned = begin / page * page;
  const std::size_t size = begin + static_cast<std::uintptr_t>(size_bytes) - aligned;
  if (::madvise(reinterpret_cast<void*>(aligned), size, MADV_POPULATE_READ) == 0) {
    const std::int64_t blocks_end = (offset + size_bytes) / kBlockBytes;
    for (std::int64_t index = (offset + kBlockBytes - 1) / kBlockBytes; index < blocks_end; ++index) {
      blocks_[static_cast<std::size_t>(index)].fetch_or(kPopulated);
    }
    return absl::OkStatus();
  }
  if (errno == EINVAL) return absl::UnimplementedError("this kernel cannot read pages of mappings in beforehand");
  return absl::DataLossError(fmt::format("cannot read bytes [{}, {}) of file {}: it has shrunk or its disk fails",
                                         offset, offset + size_bytes, Quote(path_)));
}

}  // namespace tensorferry
