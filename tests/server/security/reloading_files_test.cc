// SPDX-License-Identifier: Apache-2.0
#include "server/security/reloading_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using namespace std::literals;  // NOLINT
using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr auto kInterval = 1s;

// Every test has the files "a" and "b", and a clock that it moves.
class ReloadingFilesTest : public ::testing::Test {
 protected:
  // Polls when an interval has passed.
  std::optional<absl::StatusOr<ReloadingFiles::Contents>> PollLater() {
    now_ += kInterval;
    return files_.Poll();
  }
  // Polls, and expects a change that can be read.
  void ExpectContents(const std::vector<std::string>& contents) {
    const auto polled = PollLater();
    ASSERT_TRUE(polled);
    ASSERT_TRUE(polled->ok()) << polled->status();
    EXPECT_EQ(**polled, contents);
  }

  const test::TempDir directory_;
  const std::string a_ = directory_.Write("a", "1");
  const std::string b_ = directory_.Write("b", "2");
  ReloadTiming::Clock::time_point now_ = ReloadTiming::Clock::time_point(1h);
  ReloadingFiles files_{{a_, b_}, 10, {.interval = kInterval, .now = [this] { return now_; }}};
};

TEST_F(ReloadingFilesTest, FirstPollReadsAll) {
  const auto polled = files_.Poll();
  ASSERT_TRUE(polled && polled->ok());
  EXPECT_THAT(**polled, ElementsAre("1", "2"));
}

TEST_F(ReloadingFilesTest, ChangeIsNoticedWhenTheIntervalHasPassedAndNotBefore) {
  ExpectContents({"1", "2"});
  directory_.Write("b", "3");  // of the same size
  now_ += kInterval - 1ns;
  EXPECT_FALSE(files_.Poll());
  now_ += 1ns;
  const auto polled = files_.Poll();
  ASSERT_TRUE(polled && polled->ok());
  EXPECT_THAT(**polled, ElementsAre("1", "3"));
}

TEST_F(ReloadingFilesTest, UnchangedFilesAreReportedOnce) {
  ExpectContents({"1", "2"});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(PollLater()) << i;
  // Not even if they are written again.
  directory_.Write("a", "1");
  EXPECT_FALSE(PollLater());
}

TEST_F(ReloadingFilesTest, ErrorIsReportedOnceAndItsEndToo) {
  ExpectContents({"1", "2"});
  directory_.Write("b", "more than ten bytes");
  const auto polled = PollLater();
  ASSERT_TRUE(polled);
  EXPECT_THAT(*polled, StatusIs(kInvalidArgument, HasSubstr("10 bytes")));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(PollLater()) << i;
  directory_.Write("b", "2");
  ExpectContents({"1", "2"});
}

TEST_F(ReloadingFilesTest, OtherTargetOfALinkIsAChange) {
  ExpectContents({"1", "2"});
  directory_.Write("c", "3");
  ASSERT_EQ(::unlink(b_.c_str()), 0);
  directory_.MakeLink("b", "c");
  ExpectContents({"1", "3"});
}

TEST_F(ReloadingFilesTest, RenamedFileIsAChange) {
  ExpectContents({"1", "2"});
  std::filesystem::rename(directory_.Write("c", "3"), b_);
  ExpectContents({"1", "3"});
}

TEST_F(ReloadingFilesTest, MissingFileAndFifoAreErrors) {
  ExpectContents({"1", "2"});
  ASSERT_EQ(::unlink(a_.c_str()), 0);
  auto polled = PollLater();
  ASSERT_TRUE(polled);
  EXPECT_THAT(*polled, StatusIs(absl::StatusCode::kNotFound, HasSubstr(a_)));
  directory_.MakeFifo("a");
  polled = PollLater();
  ASSERT_TRUE(polled);
  EXPECT_THAT(*polled, StatusIs(kInvalidArgument, HasSubstr("regular file")));
}

}  // namespace
}  // namespace tensorferry::server
