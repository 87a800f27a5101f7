// SPDX-License-Identifier: Apache-2.0
#include "client/cli/output/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "client/cli/output/human.h"
#include "client/cli/output/table.h"
#include "client/cli/output/terminal.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {
namespace {

constexpr std::chrono::milliseconds kRedrawInterval(100);
constexpr std::string_view kClearLine = "\r\x1b[K";

bool IsCapableTerminal() {
  const char* const term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::size_t Columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// Returns the first `width` columns of `text`.
std::string_view Cut(std::string_view text, std::size_t width) {
  while (DisplayWidth(text) > width) text.remove_suffix(1);
  return text;
}

void Print(std::string_view text) {
  // A redraw that fails does not matter.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

ProgressBar::ProgressBar(std::string_view label, std::int64_t bytes_before)
    : label_(Escape(label)), bytes_before_(bytes_before), enabled_(IsCapableTerminal()) {}

std::function<void(const Progress&)> ProgressBar::OnProgress() {
  if (!enabled_) return {};
  return [this](const Progress& progress) { Update(progress); };
}

std::function<void(const absl::Status&, absl::Duration)> ProgressBar::OnRetry() {
  return [this](const absl::Status& status, absl::Duration delay) {
    Clear();
    PrintRetry(status, delay);
  };
}

void ProgressBar::Clear() {
  if (drawn_) Print(kClearLine);
  drawn_ = false;
}

void ProgressBar::Update(const Progress& progress) {
  const Clock::time_point now = Clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + kRedrawInterval;
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  // One column stays free: a full line makes some terminals wrap.
  Print(std::string(kClearLine) + Line(progress, seconds, Columns() - 1));
}

std::string ProgressBar::Line(const Progress& progress, double seconds, std::size_t columns) const {
  const std::int64_t done = bytes_before_ + progress.bytes_done;
  const std::int64_t total = bytes_before_ + progress.bytes_total;
  const double fraction = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1;
  const double rate = seconds > 0 ? static_cast<double>(progress.bytes_done) / seconds : 0;
  const double left = rate > 0 ? static_cast<double>(total - done) / rate : -1;
  const std::string numbers = fmt::format("{:3.0f}%  {} of {}  {}/s  {} left", fraction * 100, HumanSize(done),
                                          HumanSize(total), HumanSize(rate), HumanTime(left));
  const std::size_t room = columns > numbers.size() ? columns - numbers.size() : 0;
  if (room < 16) return std::string(Cut(numbers, columns));
  const std::size_t width = std::min<std::size_t>(20, room / 2 - 4);
  const auto filled = static_cast<std::size_t>(fraction * static_cast<double>(width));
  const std::string bar = fmt::format("[{}{}]", std::string(filled, '#'), std::string(width - filled, '.'));
  return fmt::format("{} {} {}", Cut(label_, room - bar.size() - 2), bar, numbers);
}

void PrintRetry(const absl::Status& status, absl::Duration delay) {
  fmt::print(stderr, "tensorferry: {}; trying again in {:.1f} s\n", OneLine(std::string(status.message())),
             absl::ToDoubleSeconds(delay));
}

}  // namespace tensorferry::cli
