// SPDX-License-Identifier: Apache-2.0
#include "lib/files/block_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/files/mapped_file.h"
#include "lib/files/sigbus.h"
#include "lib/files/unique_fd.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

using MappedFilePtr = std::shared_ptr<const MappedFile>;

TEST(BlockCacheTest, PopulateMapsAnyRangeOfTheFile) {
  const test::TempDir dir;
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write("f", std::string(20'000, 'x'))));
  for (const std::int64_t begin : {0, 1, 4095, 4096, 4097, 19'999, 20'000}) {
    for (const std::int64_t end : {0, 1, 4096, 12'288, 19'999, 20'000}) {
      if (begin > end) continue;
      TF_EXPECT_OK(file->blocks().Populate(begin, end - begin));
    }
  }
}

TEST(BlockCacheTest, PopulateOfAnEmptyFileDoesNothing) {
  const test::TempDir dir;
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write("f", "")));
  TF_EXPECT_OK(file->blocks().Populate(0, 0));
}

TEST(BlockCacheTest, PopulateOfATruncatedRangeIsDataLoss) {
  const test::TempDir dir;
  const std::string path = dir.Write("f", std::string(40'000, 'x'));
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  ASSERT_EQ(::truncate(path.c_str(), 10'000), 0);
  TF_EXPECT_OK(file->blocks().Populate(0, 10'000));
  EXPECT_THAT(file->blocks().Populate(0, 40'000), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
  EXPECT_THAT(file->blocks().Populate(39'999, 1), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
}

TEST(BlockCacheTest, ReadAheadFillsThePageCache) {
  const test::TempDir dir;
  const std::int64_t size = 8 << 20;
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file,
                          MappedFile::Open(dir.Write("f", std::string(static_cast<std::size_t>(size), 'x'))));
  ASSERT_EQ(::fsync(file->fd()), 0);
  ASSERT_EQ(::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
  // Asking makes the system read the byte: only one byte is asked for.
  if (!file->blocks().WouldBlock(size - 1)) GTEST_SKIP() << "the filesystem of the tests keeps its pages";
  file->blocks().ReadAhead(1, size / 2);
  for (std::int64_t offset = 1; offset <= size / 2; offset += 4095)
    EXPECT_FALSE(file->blocks().WouldBlock(offset)) << offset;
}

TEST(BlockCacheTest, ReadAheadSkipsTruncatedBytesWithoutTouchingTheMapping) {
  InstallSigbusHandler();
  const test::TempDir dir;
  const std::string path = dir.Write("f", std::string(40'000, 'x'));
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  ASSERT_EQ(::truncate(path.c_str(), 10'000), 0);
  file->blocks().ReadAhead(0, 40'000);
  file->blocks().ReadAhead(39'999, 1);
  EXPECT_FALSE(file->damaged()) << "the mapping was touched";
}

TEST(BlockCacheTest, BlockIsReadyWhileItsChecksumIsKnownAndItsPagesAreMappedAndInMemory) {
  const test::TempDir dir;
  const std::string bytes(static_cast<std::size_t>(2 * BlockCache::kBlockBytes), 'x');
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write("f", bytes)));
  EXPECT_FALSE(file->blocks().IsReady(0));
  file->blocks().Checksum(0);
  EXPECT_FALSE(file->blocks().IsReady(0));
  TF_ASSERT_OK(file->blocks().Populate(1, BlockCache::kBlockBytes));
  EXPECT_FALSE(file->blocks().IsReady(0)) << "not all of it was populated";
  TF_ASSERT_OK(file->blocks().Populate(0, BlockCache::kBlockBytes + 1));
  EXPECT_TRUE(file->blocks().IsReady(0));
  EXPECT_FALSE(file->blocks().IsReady(1));
  // Dirty pages and mapped pages cannot be dropped.
  ASSERT_EQ(::fsync(file->fd()), 0);
  ASSERT_EQ(::madvise(const_cast<std::byte*>(file->bytes().data()), bytes.size(), MADV_DONTNEED), 0);
  ASSERT_EQ(::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
  if (file->blocks().IsReady(0)) GTEST_SKIP() << "the filesystem of the tests keeps its pages";
}

TEST(BlockCacheTest, ChecksumIsThatOfTheFirstRead) {
  const test::TempDir dir;
  const std::string path = dir.Write("f", std::string(static_cast<std::size_t>(BlockCache::kBlockBytes + 5), 'x'));
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr other, MappedFile::Open(path));
  std::vector<std::byte> block(static_cast<std::size_t>(BlockCache::kBlockBytes));
  EXPECT_FALSE(file->blocks().HasChecksum(0));
  TF_ASSERT_OK_AND_ASSIGN(const std::uint32_t checksum, file->blocks().Read(0, block));
  EXPECT_TRUE(file->blocks().HasChecksum(0));
  EXPECT_EQ(test::AsString(block), std::string(block.size(), 'x'));
  EXPECT_EQ(checksum, Crc32c(block));
  EXPECT_EQ(other->blocks().Checksum(0), checksum);

  ASSERT_EQ(::pwrite(UniqueFd(::open(path.c_str(), O_WRONLY | O_CLOEXEC)).get(), "y", 1, 0), 1);
  TF_ASSERT_OK_AND_ASSIGN(const std::uint32_t again, file->blocks().Read(0, block));
  EXPECT_EQ(again, checksum);
  EXPECT_NE(checksum, Crc32c(block));
  ASSERT_EQ(::truncate(path.c_str(), BlockCache::kBlockBytes - 1), 0);
  EXPECT_THAT(file->blocks().Read(0, block).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
}

}  // namespace
}  // namespace tensorferry
