// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "lib/text/help_text.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {
namespace {

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    std::string help = app->get_description() + "\n\n" + make_usage(app, std::move(name)) + make_positionals(app) +
                       make_subcommands(app, mode);
    // The group of --help itself, which CLI11 adds first, comes last.
    std::vector<std::string> groups = app->get_groups();
    std::rotate(groups.begin(), groups.begin() + (groups.empty() ? 0 : 1), groups.end());
    for (const std::string& group : groups) {
      const auto options = app->get_options(
          [&](const CLI::Option* option) { return option->get_group() == group && option->nonpositional(); });
      if (!options.empty()) help += make_group(group, /*is_positional=*/false, options);
    }
    return help + "\n" + make_footer(app);
  }

  std::string make_subcommand(const CLI::App* command) const override {
    const std::string description = command->get_description();
    return fmt::format("  {:8}{}\n", command->get_name(), description.substr(0, description.find('\n')));
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string line = "  " + (is_positional ? option->get_name(true, false) : Names(*option));
    if (!is_positional && !option->get_type_name().empty()) line += " " + option->get_type_name();
    std::vector<std::string> facts;
    if (option->get_required() && !is_positional) facts.emplace_back("required");
    if (!option->get_default_str().empty()) facts.push_back("default " + option->get_default_str());
    if (!option->get_envname().empty()) facts.push_back("env " + option->get_envname());
    if (!facts.empty()) line += fmt::format("  ({})", fmt::join(facts, ", "));
    return line + "\n" + WrapText(option->get_description(), 6);
  }

 private:
  static std::string Names(const CLI::Option& option) {
    std::vector<std::string> names;
    for (const std::string& name : option.get_snames()) names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
    return fmt::format("{}", fmt::join(names, ", "));
  }
};

// Returns "; did you mean NAME?" for the name that `word` is most like, or nothing if it is like none of them.
std::string Suggestion(std::string_view word, const std::vector<std::string>& names) {
  const std::optional<std::string> closest = ClosestName(word, names);
  return closest ? fmt::format("; did you mean {}?", *closest) : "";
}

// Returns the message for what the command did not recognize; nothing if it recognized all.
std::optional<std::string> ExplainUnrecognized(const CLI::App& command) {
  std::vector<std::string> words = command.remaining();
  if (words.empty()) return std::nullopt;
  const auto flag = std::ranges::find_if(words, [](const std::string& word) { return word.starts_with('-'); });
  if (flag == words.end()) return fmt::format("unexpected argument {}", Quote(words.front()));
  const std::string name = flag->substr(0, flag->find('='));
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& known : option->get_lnames()) flags.push_back("--" + known);
  }
  return fmt::format("no flag {}{}", Quote(name), Suggestion(name, flags));
}

// Returns the message of an error in a flag or argument that the command has.
std::string Explain(const CLI::ParseError& error) {
  const std::string message = error.what();
  // CLI11: "--timeout: 1 required SECONDS missing", "--timeout: At Most 1 required but received 2".
  if (error.get_name() == "ArgumentMismatch" && message.find(" required ") != std::string::npos) {
    return message.substr(0, message.find(':')) + ": give exactly one value";
  }
  return message;
}

void DescribeHelpFlag(CLI::App& app) { app.get_help_ptr()->group("Other")->description("Print this help and exit."); }

}  // namespace

void UseOurHelp(CLI::App& program) {
  const auto formatter = std::make_shared<HelpFormatter>();
  formatter->label("Positionals", "Arguments");
  formatter->label("SUBCOMMAND", "COMMAND");
  program.formatter(formatter);
  DescribeHelpFlag(program);
}

CLI::App* AddCommand(CLI::App& program, const std::string& name, std::string_view sentence,
                     const std::vector<std::string_view>& examples) {
  CLI::App* const command =
      program.add_subcommand(name, fmt::format("{}\n\nExamples:\n  {}", sentence, fmt::join(examples, "\n  ")));
  command->group("Commands");
  DescribeHelpFlag(*command);
  return command;
}

std::string ExplainUsage(const CLI::App& program, const CLI::ParseError& error) {
  const std::vector<CLI::App*> parsed = program.get_subcommands();
  if (!parsed.empty()) {
    const CLI::App& command = *parsed.front();
    return fmt::format("{} (see: tensorferry {} --help)", ExplainUnrecognized(command).value_or(Explain(error)),
                       command.get_name());
  }
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands({})) names.push_back(command->get_name());
  const std::vector<std::string> words = program.remaining();
  if (words.empty()) return fmt::format("give a command: {}", fmt::join(names, ", "));
  if (words.front().starts_with('-')) return *ExplainUnrecognized(program) + " (see: tensorferry --help)";
  return fmt::format("no command {}{} (commands: {})", Quote(words.front()), Suggestion(words.front(), names),
                     fmt::join(names, ", "));
}

}  // namespace tensorferry::cli
