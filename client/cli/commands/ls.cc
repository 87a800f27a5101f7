// SPDX-License-Identifier: Apache-2.0
#include "client/cli/commands/ls.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/flags/connection.h"
#include "client/cli/output/human.h"
#include "client/cli/output/retry_line.h"
#include "client/cli/output/table.h"
#include "client/cli/output/terminal.h"
#include "lib/text/json_text.h"
#include "lib/text/quote.h"
#include "tensorferry/client.h"

namespace tensorferry::cli {
namespace {

struct LsOptions {
  ServerOptions server;
  // Absent: list the models. A model's name may be anything, so that emptiness says nothing.
  CLI::Option* model_given = nullptr;
  std::string model;
  TensorFilter filter;
  bool json = false;
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
  call.on_retry = PrintRetries();
  if (list_models) {
    const auto models = client->ListModels(call);
    if (!models.ok()) return PrintFailure(what, models.status());
    return PrintAndExit(options.json ? ModelsJson(*models) : ModelsTable(*models));
  }
  const auto tensors = client->ListTensors(options.model, options.filter, call);
  if (!tensors.ok()) return PrintFailure(what, tensors.status());
  return PrintAndExit(options.json ? TensorsJson(*tensors) : TensorsTable(*tensors));
}

}  // namespace

void AddLsCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<LsOptions>();
  CLI::App* const command = program.add_subcommand("ls", "List the models of a server, or the tensors of a model");
  CLI::Option* const model =
      command->add_option("MODEL", options->model, "List the tensors of this model; without it, list the models")
          ->type_name("");
  options->model_given = model;
  command->add_option("--prefix", options->filter.prefix, "Only tensors whose names begin with this; default: all")
      ->type_name("TEXT")
      ->needs(model);
  command
      ->add_option("--glob", options->filter.glob,
                   "Only tensors whose whole names match: * any run of characters, ? any one, [a-z] or [!a-z] one of "
                   "a set; default: all")
      ->type_name("PATTERN")
      ->needs(model);
  command->add_flag("--json", options->json, "Print JSON, sizes in bytes; default: a table");
  AddServerOptions(*command, options->server);
  command->callback([options, &run] { run = [options] { return RunLs(*options); }; });
}

}  // namespace tensorferry::cli
