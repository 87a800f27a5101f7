// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_LIB_CATALOG_CATALOG_FIXTURE_H_
#define TENSORFERRY_TESTS_LIB_CATALOG_CATALOG_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/catalog/catalog.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::test {

// A root and the catalog that is loaded of it.
class CatalogFixture : public ::testing::Test {
 protected:
  void Load() {
    absl::StatusOr<std::shared_ptr<const Catalog>> catalog = Catalog::Load(root_.path());
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
  }

  // "name" of each ready entry, "name!" of each that cannot be served.
  std::vector<std::string> Entries(bool listed_only) const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : catalog_->entries()) {
      if (entry.listed || !listed_only) names.push_back(name + (entry.model.ok() ? "" : "!"));
    }
    return names;
  }
  std::vector<std::string> All() const { return Entries(false); }
  std::vector<std::string> Listed() const { return Entries(true); }

  // Why a model cannot be served.
  std::string ReasonOf(std::string_view name) const {
    const auto entry = catalog_->entries().find(name);
    if (entry == catalog_->entries().end()) return "no such entry";
    return entry->second.model.ok() ? "ready" : MessageOf(entry->second.model);
  }

  std::size_t TensorCount(std::string_view name) const {
    const auto model = catalog_->Find(name);
    return model.ok() ? (*model)->tensor_count() : 0;
  }

  std::string File(std::string_view name, const std::vector<std::string>& tensors = {"a"}) {
    return root_.Write(name, FileOfTensors(tensors));
  }

  TempDir root_;
  std::shared_ptr<const Catalog> catalog_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_LIB_CATALOG_CATALOG_FIXTURE_H_
