// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands/commands.h"
#include "client/cli/flags/connection.h"
#include "client/cli/flags/help.h"
#include "client/cli/output/human.h"
#include "client/cli/output/progress_bar.h"
#include "client/cli/output/table.h"
#include "client/cli/output/terminal.h"
#include "lib/text/json_text.h"
#include "lib/text/quote.h"
#include "tensorferry/client.h"

namespace tensorferry::cli {
namespace {

struct LsOptions {
  ServerOptions server;
  // Says if MODEL was given: a model's name may be empty.
  CLI::Option* model_given = nullptr;
  std::string model;
  TensorFilter filter;
  bool json = false;
  bool tsv = false;
};

std::string ModelsTable(const std::vector<ModelInfo>& models) {
  using enum Table::Align;
  Table table({{"MODEL"}, {"TENSORS", kRight}, {"FILES", kRight}, {"SIZE", kRight}, {"STATE"}});
  for (const ModelInfo& model : models) {
    if (model.ready) {
      table.AddRow({Escape(model.name), fmt::to_string(model.tensor_count), fmt::to_string(model.file_count),
                    HumanSize(model.size_bytes),
                    model.replacement_error.empty()
                        ? "ready"
                        : "ready, its replacement failed: " + OneLine(model.replacement_error)});
    } else {
      table.AddRow({Escape(model.name), "-", "-", "-", "failed: " + OneLine(model.error)});
    }
  }
  return table.ToString();
}

// Returns one line per model: name, state, tensors, files, bytes.
std::string ModelsTsv(const std::vector<ModelInfo>& models) {
  std::string text;
  for (const ModelInfo& model : models) {
    text += fmt::format("{}\t{}\t{}\t{}\t{}\n", Escape(model.name), model.ready ? "ready" : "failed",
                        model.tensor_count, model.file_count, model.size_bytes);
  }
  return text;
}

std::string ModelsJson(const std::vector<ModelInfo>& models) {
  JsonText json;
  json.BeginArray();
  for (const ModelInfo& model : models) {
    json.BeginObject().Member("name", model.name).Member("ready", model.ready);
    if (model.ready) {
      json.Member("generation", model.generation)
          .Member("tensor_count", model.tensor_count)
          .Member("file_count", model.file_count)
          .Member("size_bytes", model.size_bytes);
      if (!model.replacement_error.empty()) json.Member("replacement_error", model.replacement_error);
    } else {
      json.Member("error", model.error);
    }
    json.EndObject();
  }
  return json.EndArray().ToString();
}

std::string TensorsTable(const std::vector<TensorInfo>& tensors) {
  Table table({{"TENSOR"}, {"DTYPE"}, {"SHAPE"}, {"SIZE", Table::Align::kRight}});
  for (const TensorInfo& tensor : tensors) {
    table.AddRow({Escape(tensor.name), std::string(DtypeName(tensor.dtype)), HumanShape(tensor.shape),
                  HumanSize(tensor.size_bytes)});
  }
  return table.ToString();
}

// Returns one line per tensor: name, dtype, shape, bytes, file, offset in the file.
std::string TensorsTsv(const std::vector<TensorInfo>& tensors) {
  std::string text;
  for (const TensorInfo& tensor : tensors) {
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", Escape(tensor.name), DtypeName(tensor.dtype),
                        fmt::join(tensor.shape, ","), tensor.size_bytes, Escape(tensor.file), tensor.file_offset);
  }
  return text;
}

std::string TensorsJson(const std::vector<TensorInfo>& tensors) {
  JsonText json;
  json.BeginArray();
  for (const TensorInfo& tensor : tensors) {
    json.BeginObject()
        .Member("name", tensor.name)
        .Member("dtype", DtypeName(tensor.dtype))
        .Member("shape", tensor.shape)
        .Member("size_bytes", tensor.size_bytes)
        .Member("file", tensor.file)
        .Member("file_offset", tensor.file_offset)
        .EndObject();
  }
  return json.EndArray().ToString();
}

ExitCode RunLs(const LsOptions& options) {
  const bool list_models = options.model_given->count() == 0;
  const std::string what = list_models ? fmt::format("cannot list the models of {}", ServerName(options.server))
                                       : fmt::format("cannot list the tensors of model {} at {}", Quote(options.model),
                                                     ServerName(options.server));
  const Deadline deadline(options.server);
  const auto client = Connect(options.server, deadline);
  if (!client.ok()) return PrintFailure(what, client.status());

  CallOptions call;
  call.timeout = deadline.remaining();
  call.on_retry = PrintRetry;
  if (list_models) {
    const auto models = client->ListModels(call);
    if (!models.ok()) return PrintFailure(what, models.status());
    if (options.tsv) return PrintAndExit(ModelsTsv(*models));
    return PrintAndExit(options.json ? ModelsJson(*models) : ModelsTable(*models));
  }
  const auto tensors = client->ListTensors(options.model, options.filter, call);
  if (!tensors.ok()) return PrintFailure(what, tensors.status());
  if (options.tsv) return PrintAndExit(TensorsTsv(*tensors));
  return PrintAndExit(options.json ? TensorsJson(*tensors) : TensorsTable(*tensors));
}

}  // namespace

void AddLsCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<LsOptions>();
  CLI::App* const command = AddCommand(
      program, "ls", "List the models of a server, or the tensors of a model.",
      {"tensorferry ls", "tensorferry ls llama-8b --glob '*.q_proj.weight'", "tensorferry ls --json llama-8b"});
  CLI::Option* const model =
      command->add_option("MODEL", options->model, "List the tensors of this model. Without it: list the models.");
  options->model_given = model;
  command->add_option("--prefix", options->filter.prefix, "Only tensors whose names begin with TEXT. Requires MODEL.")
      ->group("Filter")
      ->type_name("TEXT")
      ->needs(model);
  command
      ->add_option(
          "--glob", options->filter.glob,
          "Only tensors whose whole names match: * is any characters, ? is one character, [a-z] and [!a-z] are "
          "one of a set. Requires MODEL.")
      ->group("Filter")
      ->type_name("PATTERN")
      ->needs(model);
  CLI::Option* const json = command->add_flag("--json", options->json, "Print JSON: sizes in bytes.")->group("Output");
  command
      ->add_flag("--tsv", options->tsv,
                 "Print lines for scripts, without a title, tabs between the fields. Models: name, ready or failed, "
                 "tensors, files, bytes. Tensors: name, dtype, shape with commas, bytes, file, offset in the file. "
                 "Unusual characters in names are escaped as in the table; --json has the exact names.")
      ->group("Output")
      ->excludes(json);
  AddServerOptions(*command, options->server);
  command->callback([options, &run] { run = [options] { return RunLs(*options); }; });
}

}  // namespace tensorferry::cli
