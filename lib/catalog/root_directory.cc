// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/root_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>

#include "lib/files/file_io.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Returns the absolute path of an open file; empty if unknown.
std::string PathOf(int fd) {
  std::string path(PATH_MAX, '\0');
  const ssize_t size = ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), path.data(), path.size());
  path.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return path;
}

}  // namespace

std::string JoinPath(std::string_view directory, std::string_view name) {
  return directory == "." ? std::string(name) : fmt::format("{}/{}", directory, name);
}

absl::StatusOr<RootDirectory> RootDirectory::Open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open root", path);
  return RootDirectory(std::move(fd));
}

absl::StatusOr<UniqueFd> RootDirectory::OpenBeneath(const std::string& path, std::uint64_t flags) const {
  open_how how = {};
  // Without O_NONBLOCK, opening a FIFO would wait for its writer. O_PATH does not open it.
  how.flags = flags | O_RDONLY | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NONBLOCK);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // The kernel returns EAGAIN if something beneath the root was renamed meanwhile.
  for (int attempt = 0; attempt < 100; ++attempt) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, fd_.get(), path.c_str(), &how, sizeof(how))));
    if (fd.ok()) return fd;
    if (errno == EXDEV) {
      return absl::FailedPreconditionError(
          fmt::format("cannot open {}: a symbolic link leads out of the root", Quote(path)));
    }
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return ErrnoStatus(errno, "cannot open", path);
}

absl::StatusOr<std::shared_ptr<const MappedFile>> RootDirectory::MapFile(const std::string& path,
                                                                         const struct stat* known) const {
  absl::StatusOr<UniqueFd> fd = OpenBeneath(path, 0);
  if (!fd.ok()) return fd.status();
  return MappedFile::Map(*std::move(fd), path, known);
}

absl::StatusOr<struct stat> RootDirectory::StatBeneath(const std::string& path) const {
  const absl::StatusOr<UniqueFd> fd = OpenBeneath(path, O_PATH);
  if (!fd.ok()) return fd.status();
  struct stat stat = {};
  if (::fstat(fd->get(), &stat) != 0) return ErrnoStatus(errno, "cannot stat", path);
  return stat;
}

absl::StatusOr<struct stat> RootDirectory::Stat(const Listing& listing, const std::string& path,
                                                const std::string& name) const {
  if (const auto known = listing.untyped.find(name); known != listing.untyped.end()) return known->second;
  struct stat stat = {};
  // A regular file, not a link to one, is in this directory, and therefore beneath the root.
  if (::fstatat(listing.fd.get(), name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode)) return stat;
  return StatBeneath(JoinPath(path, name));
}

std::string RootDirectory::RealPath(const MappedFile& file) { return PathOf(file.fd()); }

std::string RootDirectory::LinkDirectory(const MappedFile& file, std::string_view directory) const {
  const std::string root = PathOf(fd_.get());
  const std::string path = PathOf(file.fd());
  if (root.empty() || !path.starts_with(root + '/')) return {};
  const std::string beneath = path.substr(root.size() + 1);
  const std::size_t slash = beneath.rfind('/');
  const std::string holds = slash == std::string::npos ? "." : beneath.substr(0, slash);
  return holds == directory ? std::string() : holds;
}

void RootDirectory::AddEntry(const std::string& path, const dirent& entry, Listing& listing) const {
  bool is_directory = entry.d_type == DT_DIR;
  if (entry.d_type == DT_LNK || entry.d_type == DT_UNKNOWN) {
    if (const absl::StatusOr<struct stat> target = StatBeneath(JoinPath(path, entry.d_name)); target.ok()) {
      is_directory = S_ISDIR(target->st_mode);
      if (!is_directory) listing.untyped.emplace(entry.d_name, *target);
    } else {
      // A directory outside the root is a directory too: opening it gives the reason.
      struct stat stat = {};
      is_directory = ::fstatat(listing.fd.get(), entry.d_name, &stat, 0) == 0 && S_ISDIR(stat.st_mode);
    }
  }
  (is_directory ? listing.directories : listing.files).emplace_back(entry.d_name);
}

absl::StatusOr<RootDirectory::Listing> RootDirectory::List(const std::string& path) const {
  absl::StatusOr<UniqueFd> fd = OpenBeneath(path, O_DIRECTORY);
  if (!fd.ok()) return fd.status();
  struct stat stat = {};
  if (::fstat(fd->get(), &stat) != 0) return ErrnoStatus(errno, "cannot stat", path);
  UniqueFd kept(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
  const std::unique_ptr<DIR, CloseDirectory> directory(kept.ok() ? ::fdopendir(fd->get()) : nullptr);
  if (directory == nullptr) return ErrnoStatus(errno, "cannot list", path);
  fd->Release();  // the DIR owns it now

  Listing listing;
  listing.id = {stat.st_dev, stat.st_ino};
  listing.fd = std::move(kept);
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') AddEntry(path, *entry, listing);
    errno = 0;
  }
  if (errno != 0) return ErrnoStatus(errno, "cannot list", path);
  std::ranges::sort(listing.files);
  std::ranges::sort(listing.directories);
  return listing;
}

}  // namespace tensorferry
