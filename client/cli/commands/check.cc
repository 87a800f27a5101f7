// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/commands/commands.h"
#include "client/cli/flags/help.h"
#include "client/cli/output/human.h"
#include "client/cli/output/terminal.h"
#include "lib/catalog/catalog.h"
#include "lib/text/json_text.h"
#include "lib/text/quote.h"
#include "tensorferry/safetensors/file.h"

namespace tensorferry::cli {
namespace {

struct CheckOptions {
  std::vector<std::string> paths;
  bool json = false;
};

struct Verdict {
  std::string path;
  // Empty if the file or model is ok.
  std::string reason;
  // Set if it is ok.
  std::int64_t tensor_count = 0;
  std::int64_t size_bytes = 0;
};

// Returns the verdict for a bad file or model at `path`. `name` is its name in the library's message, which the verdict
// leaves out.
Verdict Bad(const std::string& path, const std::string& name, const absl::Status& status) {
  const std::string message(status.message());
  const std::string prefix = fmt::format("file {}: ", Quote(name));
  return {path, message.starts_with(prefix) ? message.substr(prefix.size()) : message};
}

void CheckFile(const std::string& path, std::vector<Verdict>& verdicts) {
  const auto file = SafetensorsFile::Open(path);
  if (!file.ok()) {
    verdicts.push_back(Bad(path, path, file.status()));
    return;
  }
  const safetensors::Header& header = (*file)->header();
  verdicts.push_back({path, "", static_cast<std::int64_t>(header.tensor_count()), header.data_size_bytes()});
}

std::string PathOf(const std::string& root, const std::string& model) {
  if (model == ".") return root;
  return root.ends_with('/') ? root + model : root + "/" + model;
}

void CheckDirectory(const std::string& root, std::vector<Verdict>& verdicts) {
  const auto catalog = Catalog::Load(root);
  if (!catalog.ok()) {
    verdicts.push_back(Bad(root, root, catalog.status()));
    return;
  }
  if ((*catalog)->entries().empty()) {
    verdicts.push_back({root, "no safetensors file"});
    return;
  }
  for (const auto& [name, entry] : (*catalog)->entries()) {
    const std::string path = PathOf(root, name);
    if (!entry.model.ok()) {
      verdicts.push_back(Bad(path, name, entry.model.status()));
    } else if (entry.listed) {
      const Model& model = **entry.model;
      verdicts.push_back({path, "", static_cast<std::int64_t>(model.tensor_count()), model.size_bytes()});
    }
  }
}

std::string Text(const std::vector<Verdict>& verdicts) {
  std::string text;
  for (const Verdict& verdict : verdicts) {
    const std::string finding =
        verdict.reason.empty()
            ? fmt::format("ok ({}, {})", Counted(verdict.tensor_count, "tensor"), HumanSize(verdict.size_bytes))
            : OneLine(verdict.reason);
    text += fmt::format("{}: {}\n", Escape(verdict.path), finding);
  }
  return text;
}

std::string Json(const std::vector<Verdict>& verdicts) {
  JsonText json;
  json.BeginArray();
  for (const Verdict& verdict : verdicts) {
    json.BeginObject().Member("path", verdict.path).Member("ok", verdict.reason.empty());
    if (verdict.reason.empty()) {
      json.Member("tensor_count", verdict.tensor_count).Member("size_bytes", verdict.size_bytes);
    } else {
      json.Member("reason", verdict.reason);
    }
    json.EndObject();
  }
  return json.EndArray().ToString();
}

ExitCode RunCheck(const CheckOptions& options) {
  std::vector<Verdict> verdicts;
  for (const std::string& path : options.paths) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      CheckDirectory(path, verdicts);
    } else {
      CheckFile(path, verdicts);
    }
  }
  const ExitCode printed = PrintAndExit(options.json ? Json(verdicts) : Text(verdicts));
  if (printed != kDone) return printed;
  const auto bad = std::count_if(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return !v.reason.empty(); });
  if (bad == 0) return kDone;
  return PrintFailure("check", absl::DataLossError(fmt::format("{} of {} bad", bad, verdicts.size())));
}

}  // namespace

void AddCheckCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* const command =
      AddCommand(program, "check", "Validate the headers and indexes of safetensors files on this machine.",
                 {"tensorferry check model.safetensors", "tensorferry check /models",
                  "tensorferry check --json /models/llama-8b"});
  command
      ->add_option(
          "PATH", options->paths,
          "Files, and directories to scan for models. The bytes of tensors are not read. Any bad file or model "
          "makes the exit code 1.")
      ->required();
  command->add_flag("--json", options->json, "Print JSON: sizes in bytes.")->group("Output");
  command->callback([options, &run] { run = [options] { return RunCheck(*options); }; });
}

}  // namespace tensorferry::cli
