// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_LIB_CATALOG_RELOAD_FIXTURE_H_
#define TENSORFERRY_TESTS_LIB_CATALOG_RELOAD_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/catalog/catalog.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::test {

using CatalogPtr = std::shared_ptr<const Catalog>;
using ModelPtr = std::shared_ptr<const Model>;

// An index for the files 1.safetensors with the tensor "a" and 2.safetensors with "b".
inline constexpr char kTwoShards[] = R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})";

// A root that changes, and the catalog that is loaded of it again and again.
class ReloadFixture : public ::testing::Test {
 protected:
  // Scans again; the first time it is the first scan.
  void Reload() {
    absl::StatusOr<CatalogPtr> catalog = Catalog::Reload(root_.path(), catalog_, options_);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
  }
  // Returns true if another scan gives the same catalog.
  bool NothingChanged() {
    const CatalogPtr before = catalog_;
    Reload();
    return catalog_ == before;
  }

  std::string Write(std::string_view name, const std::vector<std::string>& tensors = {"a"}, int fill = 0) {
    return root_.Write(name, FileOfTensors(tensors, fill));
  }
  void Rename(std::string_view from, std::string_view to) {
    ASSERT_EQ(std::rename(root_.Path(from).c_str(), root_.Path(to).c_str()), 0) << from << " " << to;
  }
  void Remove(std::string_view name) { std::filesystem::remove_all(root_.Path(name)); }
  // Replaces the contents of a name as users should: in a new file, which is then renamed.
  void Replace(std::string_view name, std::string_view bytes) {
    root_.Write(".new", bytes);
    Rename(".new", name);
  }
  void SwapLink(std::string_view name, std::string_view target) {
    root_.MakeLink(".new", target);
    Rename(".new", name);
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : catalog_->entries()) names.push_back(name + (entry.model.ok() ? "" : "!"));
    return names;
  }
  ModelPtr Find(std::string_view name) const {
    const auto model = catalog_->Find(name);
    return model.ok() ? *model : nullptr;
  }
  // Why what is there is not served, whether something else is or not.
  std::string ReasonOf(std::string_view name) const {
    const auto entry = catalog_->entries().find(name);
    if (entry == catalog_->entries().end()) return "no such entry";
    return test::MessageOf(entry->second.model.ok() ? entry->second.replacement : entry->second.model.status());
  }
  // The bytes of a tensor as they are served.
  static std::string DataOf(const ModelPtr& model, std::string_view tensor) {
    if (model == nullptr || !model->Find(tensor)) return "none";
    const Model::TensorRef found = model->tensor(*model->Find(tensor));
    return test::AsString(found.file->tensors->data(found.view));
  }
  static std::string DataOfFile(std::string_view bytes) { return std::string(bytes.substr(bytes.size() - 3)); }

  test::TempDir root_;
  LoadOptions options_;
  CatalogPtr catalog_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_LIB_CATALOG_RELOAD_FIXTURE_H_
