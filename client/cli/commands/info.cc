// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

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

struct InfoOptions {
  ServerOptions server;
  std::string model;
  std::string tensor;
  // Says if TENSOR was given: a tensor's name may be empty.
  CLI::Option* tensor_given = nullptr;
  bool json = false;
};

std::string_view KindName(FileInfo::Kind kind) {
  switch (kind) {
    case FileInfo::Kind::kSafetensors:
      return "safetensors";
    case FileInfo::Kind::kIndex:
      return "index";
    case FileInfo::Kind::kCompanion:
      return "companion";
  }
  return "unknown";
}

std::string ModelText(const ModelMetadata& metadata) {
  const ModelInfo& model = metadata.model;
  std::string text =
      fmt::format("model:       {}\ngeneration:  {}\ntree digest: {}\ntensors:     {}\nsize:        {} ({} bytes)\n\n",
                  Escape(model.name), Escape(model.generation), Escape(metadata.tree_digest), model.tensor_count,
                  HumanSize(model.size_bytes), model.size_bytes);

  Table files({{"FILE"}, {"KIND"}, {"SIZE", Table::Align::kRight}});
  // Shards usually have the same metadata: each distinct pair is printed once.
  std::map<std::pair<std::string, std::string>, int> pairs;
  for (const FileInfo& file : metadata.files) {
    files.AddRow({Escape(file.name), std::string(KindName(file.kind)), HumanSize(file.size_bytes)});
    for (const auto& pair : file.metadata) ++pairs[pair];
  }
  text += files.ToString();
  if (pairs.empty()) return text;

  Table table({{"METADATA"}, {"FILES", Table::Align::kRight}, {"VALUE"}});
  for (const auto& [pair, count] : pairs) {
    table.AddRow({Escape(pair.first), fmt::to_string(count), Escape(pair.second)});
  }
  return text + "\n" + table.ToString();
}

std::string ModelJson(const ModelMetadata& metadata) {
  const ModelInfo& model = metadata.model;
  JsonText json;
  json.BeginObject()
      .Member("name", model.name)
      .Member("generation", model.generation)
      .Member("tree_digest", metadata.tree_digest)
      .Member("tensor_count", model.tensor_count)
      .Member("file_count", model.file_count)
      .Member("size_bytes", model.size_bytes)
      .BeginArray("files");
  for (const FileInfo& file : metadata.files) {
    json.BeginObject()
        .Member("name", file.name)
        .Member("kind", KindName(file.kind))
        .Member("size_bytes", file.size_bytes)
        .Member("digest", file.digest);
    if (file.kind == FileInfo::Kind::kSafetensors) json.Member("metadata", file.metadata);
    json.EndObject();
  }
  return json.EndArray().EndObject().ToString();
}

std::string TensorText(const TensorInfo& tensor) {
  return fmt::format("tensor:  {}\ndtype:   {}\nshape:   {}\nsize:    {} ({} bytes)\nfile:    {}, from byte {}\n",
                     Escape(tensor.name), DtypeName(tensor.dtype), HumanShape(tensor.shape),
                     HumanSize(tensor.size_bytes), tensor.size_bytes, Escape(tensor.file), tensor.file_offset);
}

std::string TensorJson(const TensorInfo& tensor) {
  return JsonText()
      .BeginObject()
      .Member("name", tensor.name)
      .Member("dtype", DtypeName(tensor.dtype))
      .Member("shape", tensor.shape)
      .Member("size_bytes", tensor.size_bytes)
      .Member("file", tensor.file)
      .Member("file_offset", tensor.file_offset)
      .EndObject()
      .ToString();
}

ExitCode RunInfo(const InfoOptions& options) {
  const bool of_tensor = options.tensor_given->count() > 0;
  const std::string object = of_tensor
                                 ? fmt::format("tensor {} of model {}", Quote(options.tensor), Quote(options.model))
                                 : fmt::format("model {}", Quote(options.model));
  const std::string what = fmt::format("cannot describe {} at {}", object, ServerName(options.server));
  const Deadline deadline(options.server);
  const auto client = Connect(options.server, deadline);
  if (!client.ok()) return PrintFailure(what, client.status());

  CallOptions call;
  call.timeout = deadline.remaining();
  call.on_retry = PrintRetry;
  if (of_tensor) {
    const auto tensor = client->GetTensorInfo(options.model, options.tensor, call);
    if (!tensor.ok()) return PrintFailure(what, tensor.status());
    return PrintAndExit(options.json ? TensorJson(*tensor) : TensorText(*tensor));
  }
  const auto metadata = client->GetMetadata(options.model, call);
  if (!metadata.ok()) return PrintFailure(what, metadata.status());
  return PrintAndExit(options.json ? ModelJson(*metadata) : ModelText(*metadata));
}

}  // namespace

void AddInfoCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* const command = AddCommand(
      program, "info", "Show a model's files, size, metadata and generation, or one tensor.",
      {"tensorferry info llama-8b", "tensorferry info llama-8b lm_head.weight", "tensorferry info llama-8b --json"});
  command->add_option("MODEL", options->model, "The model, as ls names it.")->required();
  options->tensor_given = command->add_option("TENSOR", options->tensor, "Show this tensor instead of the model.");
  command->add_flag("--json", options->json, "Print JSON: sizes in bytes.")->group("Output");
  AddServerOptions(*command, options->server);
  command->callback([options, &run] { run = [options] { return RunInfo(*options); }; });
}

}  // namespace tensorferry::cli
