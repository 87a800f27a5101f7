// SPDX-License-Identifier: Apache-2.0
#include "server/reload/catalog_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "lib/catalog/catalog.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Every test changes a root with one model "m" of a file and a companion.
class CatalogLogTest : public ::testing::Test {
 protected:
  CatalogLogTest() {
    root_.Write("m/x.safetensors", test::FileOfTensors({"a"}));
    root_.Write("m/config.json", "{}");
    catalog_ = Catalog::Load(root_.path()).value();
  }

  // Scans again and returns the log of the changes, without that of the totals.
  std::string LogOfChanges() {
    const std::shared_ptr<const Catalog> before = catalog_;
    catalog_ = Catalog::Reload(root_.path(), before).value();
    // The default logger of spdlog writes to stdout.
    ::testing::internal::CaptureStdout();
    failed_ = LogChanges(root_.path(), *before, *catalog_, std::chrono::seconds(0));
    const std::string log = ::testing::internal::GetCapturedStdout();
    return log.substr(0, log.find("root scanned"));
  }

  const test::TempDir root_;
  std::shared_ptr<const Catalog> catalog_;
  std::int64_t failed_ = 0;
};

TEST_F(CatalogLogTest, ChangedCompanionIsNoReplacedModel) {
  root_.Write("m/config.json", R"({"changed":true})");
  EXPECT_THAT(LogOfChanges(),
              AllOf(HasSubstr("companion files replaced model=m generation="), Not(HasSubstr("model replaced"))));
}

TEST_F(CatalogLogTest, ChangedTensorsAreAReplacedModel) {
  root_.Write("m/x.safetensors", test::FileOfTensors({"a", "b"}));
  root_.Write("m/config.json", R"({"changed":true})");
  EXPECT_THAT(LogOfChanges(), AllOf(HasSubstr("model replaced model=m generation="), HasSubstr(" tensors=2\n"),
                                    Not(HasSubstr("companion files replaced"))));
}

TEST_F(CatalogLogTest, InvalidReplacementIsLoggedOnce) {
  // Renamed: a file that is written to would fail the model.
  const auto replace = [&](const std::string& bytes) {
    std::filesystem::rename(root_.Write("m/.new", bytes), root_.Path("m/x.safetensors"));
  };
  const std::string valid = root_.Read("m/x.safetensors");
  replace(valid.substr(0, valid.size() - 1));
  EXPECT_THAT(LogOfChanges(), HasSubstr("replacement invalid, serving previous version model=m generation="));
  EXPECT_GT(failed_, 0);
  // The same error but for its numbers, as of a file that is being written.
  replace(valid.substr(0, valid.size() - 2));
  EXPECT_THAT(LogOfChanges(), Not(HasSubstr("model=m ")));
  EXPECT_EQ(failed_, 0);
}

TEST_F(CatalogLogTest, AddedAndRemovedModelsAreLogged) {
  root_.Write("n/x.safetensors", test::FileOfTensors({"a"}));
  EXPECT_THAT(LogOfChanges(), HasSubstr("model added model=n generation="));
  std::filesystem::remove_all(root_.Path("n"));
  EXPECT_THAT(LogOfChanges(), HasSubstr("model removed model=n\n"));
}

}  // namespace
}  // namespace tensorferry::server
