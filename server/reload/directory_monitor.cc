// SPDX-License-Identifier: Apache-2.0
#include "server/reload/directory_monitor.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "lib/files/file_io.h"
#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

// Not IN_MODIFY: a file that is being written causes thousands of these. IN_CLOSE_WRITE reports its end.
constexpr std::uint32_t kEntries = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE;
constexpr std::uint32_t kContents = kEntries | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

absl::StatusOr<DirectoryMonitor> DirectoryMonitor::Create() {
  UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot watch directories with", "inotify");
  return DirectoryMonitor(std::move(fd));
}

absl::StatusOr<bool> DirectoryMonitor::Watch(const std::string& root, const std::set<std::string>& directories) {
  std::set<int> watches;
  absl::Status status;
  const auto add = [&](const std::string& path, std::uint32_t events) {
    const int watch = ::inotify_add_watch(fd_.get(), path.c_str(), events | IN_ONLYDIR);
    const int error = errno;
    if (watch >= 0) {
      watches.insert(watch);
    } else if (status.ok() && (error == ENOSPC || error == ENOMEM)) {
      status = absl::ResourceExhaustedError(
          fmt::format("cannot watch {} and maybe others: {}; raise fs.inotify.max_user_watches", Quote(path),
                      std::strerror(error)));
    }
    return watch;
  };
  // The root may be a link or a directory that is replaced as a whole.
  std::filesystem::path path = std::filesystem::path(root).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  root_name_ = path.filename().string();
  above_ = add(path.has_parent_path() ? path.parent_path().string() : ".", kEntries);
  const int above = above_;
  for (const std::string& directory : directories) {
    // A directory that is both the root's parent and, by a link, below the root counts as below.
    if (add(directory, kContents) == above) above_ = -1;
  }

  for (const int watch : watches_) {
    if (!watches.contains(watch)) ::inotify_rm_watch(fd_.get(), watch);
  }
  const bool is_new = !std::ranges::includes(watches_, watches);
  watches_ = std::move(watches);
  if (!status.ok()) return status;
  return is_new;
}

bool DirectoryMonitor::Take() {
  bool taken = false;
  alignas(inotify_event) std::array<char, 16 << 10> buffer;
  ssize_t size = 0;
  while ((size = ::read(fd_.get(), buffer.data(), buffer.size())) > 0) {
    const std::string_view events(buffer.data(), static_cast<std::size_t>(size));
    for (std::size_t position = 0; position < events.size();) {
      inotify_event event;
      std::memcpy(&event, events.data() + position, sizeof(event));
      // The name is padded with zeros.
      const char* name = events.data() + position + sizeof(event);
      if ((event.mask & IN_IGNORED) != 0) {
        // The directory is gone. Another one may get its number.
        watches_.erase(event.wd);
      } else if (event.wd != above_ || (event.mask & IN_Q_OVERFLOW) != 0 || (event.len > 0 && root_name_ == name)) {
        // An overflow is a hint, too: a scan finds every change, so nothing is lost.
        taken = true;
      }
      position += sizeof(event) + event.len;
    }
  }
  return taken;
}

}  // namespace tensorferry::server
