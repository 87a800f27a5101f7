// SPDX-License-Identifier: Apache-2.0
// The reasons for a scan, with real files and threads. ScanScheduleTest covers when no scan is due.
#include "server/reload/watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "lib/catalog/catalog.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

class CatalogWatcherTest : public ::testing::Test {
 protected:
  CatalogWatcherTest() { root_.Write("m.safetensors", test::FileOfTensors({"a"})); }

  // Starts a watcher and waits for the scan that covers changes before its start.
  void Start(std::chrono::seconds interval) {
    auto catalog = Catalog::Load(root_.path());
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    current_ = std::make_unique<CurrentCatalog>(*std::move(catalog));
    watcher_ = std::make_unique<CatalogWatcher>(root_.path(), WatchOptions{.interval = interval}, *current_, metrics_);
    ASSERT_TRUE(WaitFor([&] { return ScansAre(1); }));
  }

  static bool WaitFor(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  bool ScansAre(int count) const {
    const std::string line = "\ntensorferry_scans_total " + std::to_string(count) + "\n";
    return metrics_.Text({}).find(line) != std::string::npos;
  }
  bool HasModel(const std::string& name) const { return current_->Get()->Find(name).ok(); }

  const test::TempDir root_;
  Metrics metrics_;
  std::unique_ptr<CurrentCatalog> current_;
  std::unique_ptr<CatalogWatcher> watcher_;
};

constexpr std::chrono::seconds kByHintOnly(0);

TEST_F(CatalogWatcherTest, HintPublishesANewModel) {
  ASSERT_NO_FATAL_FAILURE(Start(kByHintOnly));
  root_.Write("new.safetensors", test::FileOfTensors({"b"}));
  EXPECT_TRUE(WaitFor([&] { return HasModel("new.safetensors"); }));
}

TEST_F(CatalogWatcherTest, NewDirectoryIsWatchedToo) {
  ASSERT_NO_FATAL_FAILURE(Start(kByHintOnly));
  root_.Write("deep/er/a.safetensors", test::FileOfTensors({"a"}));
  EXPECT_TRUE(WaitFor([&] { return HasModel("deep/er/a.safetensors"); }));
  root_.Write("deep/er/b.safetensors", test::FileOfTensors({"b"}));
  EXPECT_TRUE(WaitFor([&] { return HasModel("deep/er/b.safetensors"); }));
}

TEST_F(CatalogWatcherTest, RequestScansOnce) {
  ASSERT_NO_FATAL_FAILURE(Start(kByHintOnly));
  const std::shared_ptr<const Catalog> before = current_->Get();
  watcher_->Request();
  EXPECT_TRUE(WaitFor([&] { return ScansAre(2); }));
  // Nothing changed, so the catalog stays.
  EXPECT_EQ(current_->Get(), before);
  watcher_->Request();
  EXPECT_TRUE(WaitFor([&] { return ScansAre(3); }));
}

TEST_F(CatalogWatcherTest, IntervalScansWithoutHints) {
  ASSERT_NO_FATAL_FAILURE(Start(std::chrono::seconds(1)));
  EXPECT_TRUE(WaitFor([&] { return ScansAre(2); }));
}

}  // namespace
}  // namespace tensorferry::server
