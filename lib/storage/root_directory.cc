// SPDX-License-Identifier: Apache-2.0
#include "lib/storage/root_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tensorferry/files/file_io.h"
#include "tensorferry/quote.h"

namespace tensorferry {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

bool IsDirectory(int parent, const dirent& entry) {
  if (entry.d_type == DT_DIR) return true;
  if (entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return false;
  struct stat stat = {};
  return ::fstatat(parent, entry.d_name, &stat, 0) == 0 && S_ISDIR(stat.st_mode);
}

}  // namespace

absl::StatusOr<RootDirectory> RootDirectory::Open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open root", path);
  return RootDirectory(std::move(fd));
}

absl::StatusOr<UniqueFd> RootDirectory::OpenBeneath(const std::string& path, std::uint64_t flags) const {
  open_how how = {};
  how.flags = flags | O_RDONLY | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  // The kernel answers EAGAIN when something beneath the root was renamed while it looked.
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

absl::StatusOr<std::shared_ptr<const MappedFile>> RootDirectory::MapFile(const std::string& path) const {
  absl::StatusOr<UniqueFd> fd = OpenBeneath(path, 0);
  if (!fd.ok()) return fd.status();
  return MappedFile::Map(*std::move(fd), path);
}

absl::StatusOr<RootDirectory::Listing> RootDirectory::List(const std::string& path) const {
  absl::StatusOr<UniqueFd> fd = OpenBeneath(path, O_DIRECTORY);
  if (!fd.ok()) return fd.status();
  struct stat stat = {};
  if (::fstat(fd->get(), &stat) != 0) return ErrnoStatus(errno, "cannot stat", path);
  const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(fd->get()));
  if (directory == nullptr) return ErrnoStatus(errno, "cannot list", path);
  fd->Release();  // the DIR owns it now

  Listing listing;
  listing.id = {stat.st_dev, stat.st_ino};
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    (IsDirectory(::dirfd(directory.get()), *entry) ? listing.directories : listing.files).emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) return ErrnoStatus(errno, "cannot list", path);
  std::ranges::sort(listing.files);
  std::ranges::sort(listing.directories);
  return listing;
}

}  // namespace tensorferry
