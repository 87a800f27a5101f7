// SPDX-License-Identifier: Apache-2.0
#include "server/app/help.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <vector>

#include "lib/text/help_text.h"
#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

constexpr std::string_view kDashes = "--";

class PlainFormatter final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override { return ""; }

  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    std::string text = group + ":\n";
    for (const CLI::Option* option : options) text += make_option(option, is_positional);
    return text;
  }

  std::string make_option(const CLI::Option* option, bool) const override {
    std::string line = "  " + option->get_name(/*positional=*/false, /*all_options=*/true);
    if (!option->get_type_name().empty()) line += ' ' + option->get_type_name();
    if (option->get_required()) line += "  (required)";
    if (!option->get_default_str().empty()) line += fmt::format("  (default {})", option->get_default_str());
    return line + '\n' + WrapText(option->get_description(), 6);
  }
};

}  // namespace

void UsePlainHelp(CLI::App& app) { app.formatter(std::make_shared<PlainFormatter>()); }

std::optional<std::string> UnknownFlagError(const CLI::App& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == kDashes) break;
    if (!argument.starts_with(kDashes)) continue;
    const std::string name(argument.substr(0, argument.find('=')));
    if (app.get_option_no_throw(name) == nullptr) return NoSuchFlag(app, name);
  }
  return std::nullopt;
}

std::string NoSuchFlag(const CLI::App& app, std::string_view name) {
  const std::string_view dashes = name.starts_with(kDashes) ? kDashes : "";
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    flags.insert(flags.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  const std::optional<std::string> closest = ClosestName(name.substr(dashes.size()), flags);
  const std::string error = fmt::format("no flag {}", Quote(name));
  return closest ? fmt::format("{}; did you mean {}{}?", error, dashes, *closest) : error;
}

}  // namespace tensorferry::server
