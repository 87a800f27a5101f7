// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pull_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "client/cli/file_at.h"
#include "tensorferry/files/file_io.h"
#include "tensorferry/quote.h"

namespace tensorferry::cli {
namespace {

constexpr char kStateDirectory[] = ".tensorferry";
constexpr char kRecordName[] = "pulled.json";
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

// The file that a name in the state directory belongs to; empty if it is not that of a partial file or its state.
std::string OwnerOf(std::string_view name) {
  for (const std::string_view suffix : {".part", ".part.json", ".part.json.tmp"}) {
    if (name.ends_with(suffix)) return std::string(name.substr(0, name.size() - suffix.size()));
  }
  return {};
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

  const auto record = ReadFileAt(directory.state_fd_.get(), kRecordName);
  if (record) directory.pulled_ = ParsePulledFiles(*record);
  return directory;
}

bool PullDirectory::IsUpToDate(const FileInfo& file) const {
  const auto pulled = pulled_.find(file.name);
  if (pulled == pulled_.end() || file.fingerprint.empty()) return false;
  struct stat status {};
  if (::fstatat(fd_.get(), file.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) {
    return false;
  }
  const std::int64_t modified_ns = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  return pulled->second == PulledFile{file.fingerprint, status.st_size, modified_ns} &&
         status.st_size == file.size_bytes;
}

absl::StatusOr<PartialFile> PullDirectory::OpenPartial(const FileInfo& file) const {
  return PartialFile::Open(state_fd_.get(), state_path_, file);
}

absl::Status PullDirectory::Publish(const FileInfo& file, const PartialFile& partial) {
  const auto modified_ns = partial.SyncComplete();
  if (!modified_ns.ok()) return modified_ns.status();
  const std::string partial_name = PartialFile::DataName(file.name);
  if (::renameat(state_fd_.get(), partial_name.c_str(), fd_.get(), file.name.c_str()) != 0) {
    return ErrnoStatus(errno, "cannot put the complete file at", path_ + "/" + file.name);
  }
  if (::fsync(fd_.get()) != 0) return ErrnoStatus(errno, "cannot sync", path_);

  pulled_[file.name] = PulledFile{file.fingerprint, file.size_bytes, *modified_ns};
  const absl::Status recorded = ReplaceFileAt(state_fd_.get(), state_path_, kRecordName, ToJson(pulled_));
  if (!recorded.ok()) return recorded;
  ::unlinkat(state_fd_.get(), PartialFile::StateName(file.name).c_str(), 0);
  return absl::OkStatus();
}

void PullDirectory::Discard(const FileInfo& file) const {
  ::unlinkat(state_fd_.get(), PartialFile::DataName(file.name).c_str(), 0);
  ::unlinkat(state_fd_.get(), PartialFile::StateName(file.name).c_str(), 0);
}

void PullDirectory::RemoveLeftovers(const std::set<std::string>& keep) const {
  for (const std::string& name : ListNames(state_fd_.get())) {
    const std::string owner = OwnerOf(name);
    if (!owner.empty() && !keep.contains(owner)) ::unlinkat(state_fd_.get(), name.c_str(), 0);
  }
}

}  // namespace tensorferry::cli
