// SPDX-License-Identifier: Apache-2.0
#include "client/cli/output/human.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tensorferry::cli {

std::string HumanSize(double bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{:.0f} B", bytes);
  double value = bytes / 1024;
  std::size_t unit = 0;
  // Less than 1024, because rounding would print "1024.0 MiB".
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string HumanSize(std::int64_t bytes) { return HumanSize(static_cast<double>(bytes)); }

std::string HumanTime(double seconds) {
  constexpr double kLongest = 1000.0 * 3600;
  if (!(seconds >= 0 && seconds < kLongest)) return "-:--";
  const auto total = static_cast<std::int64_t>(std::ceil(seconds));
  if (total < 3600) return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

std::string HumanLatency(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

std::string HumanShape(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string Counted(std::int64_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace tensorferry::cli
