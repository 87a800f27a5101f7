// SPDX-License-Identifier: Apache-2.0
#include "server/app/flag_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <string_view>
#include <system_error>
#include <vector>

#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

CLI::Validator NumberIn(std::string_view noun, std::int64_t min, std::int64_t max) {
  const auto check = [=](const std::string& text) -> std::string {
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [parsed_to, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && parsed_to == end && min <= value && value <= max) return "";
    return fmt::format("{}: give {}, {} to {}", Quote(text), noun, min, max);
  };
  return CLI::Validator(check, "");
}

}  // namespace

CLI::Validator WholeNumber(std::int64_t min, std::int64_t max) { return NumberIn("a whole number", min, max); }

CLI::Validator WholeSeconds(std::int64_t min, std::int64_t max) { return NumberIn("whole seconds", min, max); }

CLI::Validator Size(std::int64_t min, std::int64_t max) {
  const auto convert = [=](std::string& text) -> std::string {
    std::string bytes = text;
    bool valid = false;
    try {
      // CLI11 accepts a suffix alone, "MiB" for one MiB, and its messages list all the suffixes that it knows.
      valid = !text.empty() && text.front() >= '0' && text.front() <= '9' &&
              CLI::AsSizeValue(/*kb_is_1000=*/false)(bytes).empty() && CLI::Range(min, max)(bytes).empty();
    } catch (const CLI::ValidationError&) {
    }
    if (!valid) {
      return fmt::format("{}: give a size, {} to {}, in bytes or with KiB, MiB, GiB or TiB", Quote(text), SizeText(min),
                         SizeText(max));
    }
    text = bytes;
    return "";
  };
  return CLI::Validator(convert, "");
}

CLI::Validator OneOf(std::initializer_list<std::string> words) {
  const auto check = [words = std::vector<std::string>(words)](const std::string& text) -> std::string {
    if (std::ranges::find(words, text) != words.end()) return "";
    return fmt::format("{}: give {}", Quote(text), fmt::join(words, " or "));
  };
  return CLI::Validator(check, "");
}

CLI::Validator NotEmpty() {
  const auto check = [](const std::string& text) -> std::string {
    return text.empty() ? "must not be empty; leave the flag out instead" : "";
  };
  return CLI::Validator(check, "");
}

std::string SizeText(std::int64_t bytes) {
  constexpr std::array kUnits = {"", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes != 0 && bytes % 1024 == 0 && unit + 1 < kUnits.size(); bytes /= 1024) ++unit;
  return fmt::format("{}{}", bytes, kUnits[unit]);
}

}  // namespace tensorferry::server
