// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pulling/pull_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "lib/files/file_io.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {
namespace {

constexpr char kStateDirectory[] = ".tensorferry";
constexpr char kLockName[] = "lock";

std::vector<std::string> ListNames(int directory_fd) {
  std::vector<std::string> names;
  UniqueFd fd(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd.get()), ::closedir);
  if (directory == nullptr) return names;
  fd.Release();
  while (const dirent* const entry = ::readdir(directory.get())) names.emplace_back(entry->d_name);
  return names;
}

}  // namespace

bool IsPullableName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos && !name.starts_with(kStateDirectory);
}

absl::StatusOr<PullDirectory> PullDirectory::Open(const std::string& path) {
  PullDirectory directory;
  directory.path_ = path;
  directory.state_path_ = path + "/" + kStateDirectory;
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_directory(path, error)) {
    return absl::FailedPreconditionError(fmt::format("{} is a file; pull needs a directory", Quote(path)));
  }
  std::filesystem::create_directories(path, error);
  if (error) return ErrnoStatus(error.value(), "cannot create directory", path);
  directory.fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.fd_.ok()) return ErrnoStatus(errno, "cannot open directory", path);

  if (::mkdirat(directory.fd_.get(), kStateDirectory, 0777) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "cannot create directory", directory.state_path_);
  }
  directory.state_fd_ =
      UniqueFd(::openat(directory.fd_.get(), kStateDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.state_fd_.ok()) return ErrnoStatus(errno, "cannot open directory", directory.state_path_);

  const std::string lock_path = directory.state_path_ + "/" + kLockName;
  directory.lock_fd_ =
      UniqueFd(::openat(directory.state_fd_.get(), kLockName, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!directory.lock_fd_.ok()) return ErrnoStatus(errno, "cannot open", lock_path);
  if (::flock(directory.lock_fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "cannot lock", lock_path);
    return absl::AbortedError(fmt::format("another pull into {} is running", Quote(path)));
  }
  return directory;
}

UniqueFd PullDirectory::OpenCopy(const FileInfo& file) const {
  UniqueFd fd(::openat(fd_.get(), file.name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!fd.ok() || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size != file.size_bytes) {
    return {};
  }
  return fd;
}

absl::StatusOr<PartialFile> PullDirectory::OpenPartial(const FileInfo& file,
                                                       const PartialFile::GetManifest& get_manifest,
                                                       const std::stop_token& stop_token) const {
  return PartialFile::Open(state_fd_.get(), state_path_, file, get_manifest, stop_token);
}

absl::Status PullDirectory::Publish(const FileInfo& file, const PartialFile& partial) const {
  if (absl::Status status = partial.SyncComplete(); !status.ok()) return status;
  const std::string partial_name = PartialFile::DataName(file.name);
  if (::renameat(state_fd_.get(), partial_name.c_str(), fd_.get(), file.name.c_str()) != 0) {
    return ErrnoStatus(errno, "cannot rename the complete file to", path_ + "/" + file.name);
  }
  return ::fsync(fd_.get()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot sync", path_);
}

void PullDirectory::Discard(const FileInfo& file) const {
  ::unlinkat(state_fd_.get(), PartialFile::DataName(file.name).c_str(), 0);
}

void PullDirectory::RemoveLeftovers(const std::set<std::string>& keep) const {
  for (const std::string& name : ListNames(state_fd_.get())) {
    const bool is_kept =
        std::ranges::any_of(keep, [&](const auto& file) { return PartialFile::DataName(file) == name; });
    // Removes the files of earlier pulls, and of earlier versions of this program.
    if (!is_kept && name != kLockName) ::unlinkat(state_fd_.get(), name.c_str(), 0);
  }
}

}  // namespace tensorferry::cli
