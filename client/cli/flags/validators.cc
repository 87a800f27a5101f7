// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/validators.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "client/channel/server_address.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {
namespace {

std::string_view WithoutSpaces(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

}  // namespace

CLI::Validator Seconds(double min_seconds) {
  const auto convert = [min_seconds](std::string& text) -> std::string {
    constexpr double kMax = 1e9;
    double seconds = 0;
    if (absl::Duration time; !CLI::detail::lexical_cast(text, seconds) && absl::ParseDuration(text, &time)) {
      seconds = absl::ToDoubleSeconds(time);
      if (seconds >= min_seconds && seconds <= kMax) text = fmt::format("{}", seconds);
    }
    // NaN fails both comparisons.
    if (double value = 0; CLI::detail::lexical_cast(text, value) && value >= min_seconds && value <= kMax) return {};
    return fmt::format("{}: give seconds, or a time such as 500ms, 5s, 2m or 1h, from {} s to {:.0f} s", Quote(text),
                       min_seconds, kMax);
  };
  return CLI::Validator(convert, "");
}

CLI::Validator WholeNumber(std::int64_t min, std::int64_t max) {
  const auto check = [min, max](const std::string& text) -> std::string {
    std::int64_t value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= min && value <= max) return {};
    return fmt::format("{}: give a whole number, {} to {}", Quote(text), min, max);
  };
  return CLI::Validator(check, "");
}

CLI::Validator NotEmpty() {
  return CLI::Validator([](const std::string& text) { return std::string(text.empty() ? "must not be empty" : ""); },
                        "");
}

CLI::Validator ServerAddresses() {
  const auto convert = [](std::string& list) -> std::string {
    std::string parsed;
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      const auto address = ParseServerAddress(WithoutSpaces(std::string_view(list).substr(begin, end - begin)));
      if (!address.ok()) return std::string(address.status().message());
      parsed += (begin > 0 ? "," : "") + *address;
      begin = end + 1;
    }
    list = parsed;
    return {};
  };
  return CLI::Validator(convert, "");
}

}  // namespace tensorferry::cli
