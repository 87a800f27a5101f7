// SPDX-License-Identifier: Apache-2.0
#include "client/cli/output/terminal.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "lib/files/file_io.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {

std::string OneLine(std::string_view message) {
  std::string line;
  while (true) {
    const std::size_t backslash = message.find('\\');
    line += Escape(message.substr(0, backslash));
    if (backslash == std::string_view::npos) return line;
    line += '\\';
    message.remove_prefix(backslash + 1);
  }
}

ExitCode PrintFailure(std::string_view what, const absl::Status& status) {
  std::string reason(status.message());
  if (reason.empty()) reason = absl::StatusCodeToString(status.code());
  fmt::print(stderr, "tensorferry: {}: {}\n", OneLine(what), OneLine(reason));
  return kFailed;
}

ExitCode PrintWrongUsage(std::string_view message) {
  fmt::print(stderr, "tensorferry: {}\n", OneLine(message));
  return kWrongUsage;
}

absl::Status WriteToStream(int fd, std::span<const std::byte> data, std::string_view name) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd, data.data(), data.size());
    if (written >= 0) {
      data = data.subspan(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      // Another process that shares the pipe made it non-blocking.
      pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "cannot write to", name);
    }
  }
  return absl::OkStatus();
}

absl::Status WriteStdout(std::string_view text) {
  return WriteToStream(STDOUT_FILENO, std::as_bytes(std::span(text)), "standard output");
}

ExitCode PrintAndExit(std::string_view text, ExitCode code) {
  const absl::Status written = WriteStdout(text);
  return written.ok() ? code : PrintFailure("cannot print the result", written);
}

}  // namespace tensorferry::cli
