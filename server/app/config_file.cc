// SPDX-License-Identifier: Apache-2.0
#include "server/app/config_file.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <istream>
#include <memory>
#include <string_view>

#include "server/app/help.h"

namespace tensorferry::server {
namespace {

constexpr const char* kEnvironment = "TENSORFERRYD_CONFIG";

bool IsSet(const std::string& variable) {
  const char* const value = variable.empty() ? nullptr : std::getenv(variable.c_str());
  return value != nullptr && *value != '\0';
}

// CLI11's reader without the flags that the environment sets. CLI11 alone would give the file precedence over them.
class FileBelowEnvironment final : public CLI::ConfigTOML {
 public:
  explicit FileBelowEnvironment(const CLI::App& app) : app_(app) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(input);
    std::erase_if(items, [this](const CLI::ConfigItem& item) {
      // Begin and end of a section.
      if (item.name == "++" || item.name == "--") return true;
      const CLI::Option* const option = app_.get_option_no_throw("--" + item.fullname());
      if (option == nullptr || !option->get_configurable()) {
        throw CLI::ConfigError("config file: " + NoSuchFlag(app_, item.fullname()), CLI::ExitCodes::ConfigError);
      }
      return IsSet(option->get_envname());
    });
    return items;
  }

 private:
  const CLI::App& app_;
};

}  // namespace

CLI::Option* AddConfigFile(CLI::App& app) {
  CLI::Option* const option =
      app.set_config("--config", "", "Read flags from this file in TOML or INI: max-streams = 100.");
  option->type_name("FILE")->configurable(false)->envname(kEnvironment);
  app.config_formatter(std::make_shared<FileBelowEnvironment>(app));
  app.allow_config_extras(CLI::config_extras_mode::error);
  return option;
}

std::vector<std::string> ArgumentsWithConfigFile(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const bool named = std::ranges::any_of(
      arguments, [](std::string_view text) { return text == "--config" || text.starts_with("--config="); });
  // CLI11 looks for the file before it reads the variable.
  if (!named && IsSet(kEnvironment)) {
    arguments.insert(arguments.begin(), std::string("--config=") + std::getenv(kEnvironment));
  }
  std::ranges::reverse(arguments);
  return arguments;
}

}  // namespace tensorferry::server
