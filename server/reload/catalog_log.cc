// SPDX-License-Identifier: Apache-2.0
#include "server/reload/catalog_log.h"

#include <cstdint>
#include <string_view>

#include "server/log/log.h"

namespace tensorferry::server {
namespace {

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

// Returns true if the errors differ in nothing but numbers: of a file that grows, each scan reports another size.
bool Alike(const absl::Status& a, const absl::Status& b) {
  const auto without_digits = [](const absl::Status& status) {
    std::string text = TextOf(status);
    std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
    return text;
  };
  return a.code() == b.code() && without_digits(a) == without_digits(b);
}

// Returns the entry of that name if ListModels shows it, otherwise null.
const Catalog::Entry* FindListed(const Catalog& catalog, const std::string& name) {
  const auto found = catalog.entries().find(name);
  return found == catalog.entries().end() || !found->second.listed ? nullptr : &found->second;
}

// Logs the difference between two entries of one name. Returns true if it logged an error.
bool LogModel(const std::string& name, const Catalog::Entry* before, const Catalog::Entry& after) {
  if (!after.model.ok()) {
    if (before != nullptr && Alike(before->model.status(), after.model.status())) return false;
    LogError("model cannot be served", {{"model", name}, {"error", after.model.status()}});
    return true;
  }
  const Model& model = **after.model;
  if (!after.replacement.ok()) {
    if (before != nullptr && Alike(before->replacement, after.replacement)) return false;
    LogError("replacement invalid, serving previous version",
             {{"model", name}, {"generation", model.generation()}, {"error", after.replacement}});
    return true;
  }
  const auto log = [&](std::string_view what) {
    LogInfo(what, {{"model", name}, {"generation", model.generation()}, {"tensors", model.tensor_count()}});
  };
  if (before == nullptr) {
    log("model added");
  } else if (!before->model.ok()) {
    log("model can be served now");
  } else if (*before->model != *after.model) {
    const Model& previous = **before->model;
    const bool same_tensors = previous.generation() == model.generation();
    log(same_tensors && previous.tree_digest() != model.tree_digest() ? "companion files replaced" : "model replaced");
  } else if (!before->replacement.ok()) {
    log("invalid replacement removed, model unchanged");
  }
  return false;
}

// Returns the number of models that cannot be served.
std::int64_t LogTotals(const std::string& root, const Catalog& catalog, std::chrono::duration<double> time) {
  std::int64_t tensors = 0;
  for (const auto& [name, entry] : catalog.entries()) {
    if (entry.listed && entry.model.ok()) tensors += static_cast<std::int64_t>((*entry.model)->tensor_count());
  }
  const Catalog::Counts models = catalog.CountListed();
  if (models.ready == 0) LogWarning("nothing to serve: no valid safetensors file under the root", {{"root", root}});
  LogInfo(
      "root scanned",
      {{"root", root}, {"models", models.ready}, {"tensors", tensors}, {"failed", models.failed}, {"seconds", time}});
  return models.failed;
}

}  // namespace

std::int64_t LogCatalog(const std::string& root, const Catalog& catalog, std::chrono::duration<double> time) {
  for (const auto& [name, entry] : catalog.entries()) {
    if (entry.listed && !entry.model.ok()) LogModel(name, nullptr, entry);
  }
  return LogTotals(root, catalog, time);
}

std::int64_t LogChanges(const std::string& root, const Catalog& before, const Catalog& after,
                        std::chrono::duration<double> time) {
  std::int64_t failed = 0;
  for (const auto& [name, entry] : before.entries()) {
    if (entry.listed && FindListed(after, name) == nullptr) LogInfo("model removed", {{"model", name}});
  }
  for (const auto& [name, entry] : after.entries()) {
    if (entry.listed && LogModel(name, FindListed(before, name), entry)) ++failed;
  }
  LogTotals(root, after, time);
  return failed;
}

}  // namespace tensorferry::server
