// SPDX-License-Identifier: Apache-2.0
#include "server/catalog_log.h"

#include <spdlog/spdlog.h>

#include <cstdint>

#include "tensorferry/quote.h"

namespace tensorferry::server {
namespace {

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

// Whether both say the same, but for numbers: of a file that grows each scan has a new size to tell.
bool Alike(const absl::Status& a, const absl::Status& b) {
  const auto without_digits = [](const absl::Status& status) {
    std::string text = TextOf(status);
    std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
    return text;
  };
  return a.code() == b.code() && without_digits(a) == without_digits(b);
}

// The entry of that name that ListModels shows, or null.
const Catalog::Entry* FindListed(const Catalog& catalog, const std::string& name) {
  const auto found = catalog.entries().find(name);
  return found == catalog.entries().end() || !found->second.listed ? nullptr : &found->second;
}

// Whether it says that something cannot be served.
bool LogModel(const std::string& name, const Catalog::Entry* before, const Catalog::Entry& after) {
  if (!after.model.ok()) {
    if (before != nullptr && Alike(before->model.status(), after.model.status())) return false;
    spdlog::error("model {} cannot be served: {}", Quote(name), TextOf(after.model.status()));
    return true;
  }
  const std::string& generation = (*after.model)->generation();
  if (!after.replacement.ok()) {
    if (before != nullptr && Alike(before->replacement, after.replacement)) return false;
    spdlog::error("model {} stays at generation {}, because what is there now cannot be served: {}", Quote(name),
                  generation, TextOf(after.replacement));
    return true;
  }
  if (before == nullptr) {
    spdlog::info("model {} added, generation {}", Quote(name), generation);
  } else if (!before->model.ok()) {
    spdlog::info("model {} can be served now, generation {}", Quote(name), generation);
  } else if (*before->model != *after.model) {
    spdlog::info("model {} replaced, generation {}", Quote(name), generation);
  } else if (!before->replacement.ok()) {
    spdlog::info("model {} is what it was again, generation {}", Quote(name), generation);
  }
  return false;
}

}  // namespace

std::int64_t LogCatalog(const std::string& root, const Catalog& catalog) {
  std::int64_t tensors = 0;
  for (const auto& [name, entry] : catalog.entries()) {
    if (!entry.listed) continue;
    if (entry.model.ok()) {
      tensors += static_cast<std::int64_t>((*entry.model)->tensor_count());
    } else {
      spdlog::error("model {} cannot be served: {}", Quote(name), TextOf(entry.model.status()));
    }
  }
  const Catalog::Counts models = catalog.CountListed();
  if (models.ready == 0) spdlog::warn("there is nothing to serve: no good safetensors file under root {}", Quote(root));
  spdlog::info("root {}: {} models ready, {} tensors", Quote(root), models.ready, tensors);
  return models.failed;
}

std::int64_t LogChanges(const Catalog& before, const Catalog& after) {
  std::int64_t failed = 0;
  for (const auto& [name, entry] : before.entries()) {
    if (entry.listed && FindListed(after, name) == nullptr) spdlog::info("model {} removed", Quote(name));
  }
  for (const auto& [name, entry] : after.entries()) {
    if (entry.listed && LogModel(name, FindListed(before, name), entry)) ++failed;
  }
  return failed;
}

}  // namespace tensorferry::server
