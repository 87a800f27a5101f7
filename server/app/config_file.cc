// SPDX-License-Identifier: Apache-2.0
#include "server/app/config_file.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <istream>
#include <memory>
#include <string_view>

#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

constexpr const char* kEnvironment = "TENSORFERRYD_CONFIG";

bool IsSet(const std::string& variable) {
  const char* const value = variable.empty() ? nullptr : std::getenv(variable.c_str());
  return value != nullptr && *value != '\0';
}

// CLI11's reader, without what the environment says: CLI11 would let the file go before that.
class FileBelowEnvironment final : public CLI::ConfigTOML {
 public:
  explicit FileBelowEnvironment(const CLI::App& app) : app_(app) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(input);
    std::erase_if(items, [this](const CLI::ConfigItem& item) {
      // Marks where sections begin and end.
      if (item.name == "++" || item.name == "--") return true;
      const CLI::Option* const option = app_.get_option_no_throw("--" + item.fullname());
      if (option == nullptr || !option->get_configurable()) {
        throw CLI::ConfigError(fmt::format("the config file sets {}, which is no flag", Quote(item.fullname())),
                               CLI::ExitCodes::ConfigError);
      }
      return IsSet(option->get_envname());
    });
    return items;
  }

 private:
  const CLI::App& app_;
};

}  // namespace

void AddConfigFile(CLI::App& app) {
  app.set_config("--config", "", "File with flags, in TOML or INI: name = value; default: none")
      ->type_name("FILE")
      ->configurable(false)
      ->envname(kEnvironment);
  app.config_formatter(std::make_shared<FileBelowEnvironment>(app));
  app.allow_config_extras(CLI::config_extras_mode::error);
}

std::vector<std::string> ArgumentsWithConfigFile(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const bool named = std::ranges::any_of(
      arguments, [](std::string_view text) { return text == "--config" || text.starts_with("--config="); });
  // CLI11 would look at the variable after it has looked for the file.
  if (!named && IsSet(kEnvironment)) {
    arguments.insert(arguments.begin(), std::string("--config=") + std::getenv(kEnvironment));
  }
  std::ranges::reverse(arguments);
  return arguments;
}

}  // namespace tensorferry::server
