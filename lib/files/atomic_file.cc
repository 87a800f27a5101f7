// SPDX-License-Identifier: Apache-2.0
#include "lib/files/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include "lib/files/file_io.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

// Creates a new hidden file in `directory`, with a name derived from `name`. Sets `path`. The umask decides the
// permissions: mkostemp would give them to the owner alone.
UniqueFd CreateTemporary(const std::filesystem::path& directory, const std::string& name, std::string& path) {
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    path = (directory / fmt::format(".{}.tmp-{:08x}", name.substr(0, 200), random())).string();
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd.ok() || errno != EEXIST) return fd;
  }
  return {};
}

absl::Status SyncDirectory(const std::filesystem::path& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok() || ::fsync(fd.get()) != 0) return ErrnoStatus(errno, "cannot sync directory", directory.string());
  return absl::OkStatus();
}

std::filesystem::path DirectoryOf(const std::string& path) {
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  return directory.empty() ? "." : directory;
}

}  // namespace

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  struct stat existing = {};
  std::string target = path;
  if (::stat(path.c_str(), &existing) == 0) {
    if (!S_ISREG(existing.st_mode)) {
      return absl::FailedPreconditionError(fmt::format("cannot write {}: not a regular file", Quote(path)));
    }
    // Replaces the target of a symbolic link, not the link.
    std::error_code error;
    target = std::filesystem::canonical(path, error).string();
    if (error) return ErrnoStatus(error.value(), "cannot write", path);
  }
  const std::string name = std::filesystem::path(target).filename().string();
  if (name.empty() || name == "." || name == "..") {
    return absl::InvalidArgumentError(fmt::format("cannot write {}: not the name of a file", Quote(path)));
  }
  std::string temporary;
  UniqueFd fd = CreateTemporary(DirectoryOf(target), name, temporary);
  if (!fd.ok()) return ErrnoStatus(errno, "cannot write", path);
  return AtomicFile(std::move(target), std::move(temporary), std::move(fd));
}

AtomicFile::AtomicFile(std::string path, std::string temporary_path, UniqueFd fd)
    : path_(std::move(path)), temporary_path_(std::move(temporary_path)), fd_(std::move(fd)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_path_(std::exchange(other.temporary_path_, {})),
      fd_(std::move(other.fd_)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_path_, other.temporary_path_);
  std::swap(fd_, other.fd_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

absl::Status AtomicFile::Append(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t size = ::write(fd_.get(), data.data(), data.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, "cannot write", path_);
    data = data.subspan(static_cast<std::size_t>(size));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  if (::fsync(fd_.get()) != 0) return ErrnoStatus(errno, "cannot sync", path_);
  if (::rename(temporary_path_.c_str(), path_.c_str()) != 0) return ErrnoStatus(errno, "cannot write", path_);
  temporary_path_.clear();
  return SyncDirectory(DirectoryOf(path_));
}

}  // namespace tensorferry
