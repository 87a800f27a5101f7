// SPDX-License-Identifier: Apache-2.0
#include "lib/files/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <random>
#include <utility>

#include "lib/files/block_cache.h"
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

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Map(UniqueFd fd, std::string path,
                                                                  const struct stat* known) {
  struct stat stat = {};
  if (known != nullptr) {
    stat = *known;
  } else if (::fstat(fd.get(), &stat) != 0) {
    return ErrnoStatus(errno, "cannot stat", path);
  }
  if (!S_ISREG(stat.st_mode)) {
    return absl::FailedPreconditionError(fmt::format("cannot open {}: not a regular file", Quote(path)));
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
      mapping_(bytes.empty() ? nullptr : mapping_table::Add(bytes)),
      blocks_(std::make_unique<const BlockCache>(fd_.get(), path_, bytes_, knows_residency)) {
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

}  // namespace tensorferry
