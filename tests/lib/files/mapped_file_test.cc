// SPDX-License-Identifier: Apache-2.0
#include "lib/files/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/files/sigbus.h"
#include "lib/files/unique_fd.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

using MappedFilePtr = std::shared_ptr<const MappedFile>;

void SetModified(const std::string& path, std::int64_t seconds, std::int64_t nanoseconds) {
  const timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST(MappedFileTest, BytesOfTheFileAreMapped) {
  const test::TempDir dir;
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write("f", "hello")));
  EXPECT_EQ(test::AsString(file->bytes()), "hello");
  EXPECT_EQ(file->size_bytes(), 5);
  EXPECT_EQ(file->path(), dir.Path("f"));
  EXPECT_GE(file->fd(), 0);
  TF_EXPECT_OK(file->CheckUnchanged());
}

TEST(MappedFileTest, EachOpeningHasItsOwnInstance) {
  const test::TempDir dir;
  const std::string path = dir.Write("f", "hello");
  std::set<std::string> instances;
  for (int i = 0; i < 100; ++i) {
    TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
    EXPECT_EQ(file->instance(), file->instance());
    EXPECT_TRUE(instances.insert(file->instance()).second) << file->instance();
  }
  // A forked process has copies of all variables, but its instances differ.
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const absl::StatusOr<MappedFilePtr> file = MappedFile::Open(path);
    if (file.ok()) dir.Write("instance", (*file)->instance());
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  EXPECT_NE(dir.Read("instance"), "");
  EXPECT_NE(dir.Read("instance"), file->instance());
}

TEST(MappedFileTest, EmptyFileHasNoBytes) {
  const test::TempDir dir;
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write("f", "")));
  EXPECT_EQ(file->size_bytes(), 0);
  TF_EXPECT_OK(file->CheckUnchanged());
}

TEST(MappedFileTest, DescriptorIsClosedWithTheFileAndOnExec) {
  const test::TempDir dir;
  TF_ASSERT_OK_AND_ASSIGN(MappedFilePtr file, MappedFile::Open(dir.Write("f", "x")));
  const int fd = file->fd();
  EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  file.reset();
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST(MappedFileTest, MapOwnsTheDescriptor) {
  const test::TempDir dir;
  UniqueFd fd(::open(dir.Write("f", "xy").c_str(), O_RDONLY | O_CLOEXEC));
  const int number = fd.get();
  TF_ASSERT_OK_AND_ASSIGN(MappedFilePtr file, MappedFile::Map(std::move(fd), "a name"));
  EXPECT_EQ(test::AsString(file->bytes()), "xy");
  EXPECT_EQ(file->path(), "a name");
  file.reset();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST(MappedFileTest, SpecialFileIsRefusedAtOnceWithItsPath) {
  const test::TempDir dir;
  const auto not_regular = [](const std::string& path) {
    return StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr(path), HasSubstr("not a regular file")));
  };
  const std::string fifo = dir.MakeFifo("fifo");
  EXPECT_THAT(MappedFile::Open(fifo), not_regular(fifo)) << "a FIFO without a writer";
  EXPECT_THAT(MappedFile::Open(dir.path()), not_regular(dir.path()));
  EXPECT_THAT(MappedFile::Open("/dev/zero"), not_regular("/dev/zero"));
  const absl::StatusOr<MappedFilePtr> socket = MappedFile::Open(dir.MakeSocket("socket"));
  EXPECT_FALSE(socket.ok());
  EXPECT_THAT(test::MessageOf(socket), HasSubstr("socket"));
}

TEST(MappedFileTest, MissingFileIsRefusedWithItsPath) {
  const test::TempDir dir;
  EXPECT_THAT(MappedFile::Open(dir.Path("none")), StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir.Path("none"))));
  dir.MakeLink("loop", "loop");
  EXPECT_FALSE(MappedFile::Open(dir.Path("loop")).ok());
  EXPECT_FALSE(MappedFile::Open("").ok());
}

TEST(MappedFileTest, LinkIsFollowed) {
  const test::TempDir dir;
  dir.Write("f", "hello");
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.MakeLink("link", "f")));
  EXPECT_EQ(test::AsString(file->bytes()), "hello");
}

TEST(MappedFileTest, SameFileHasTheSameIdentityAndOtherFilesHaveOthers) {
  const test::TempDir dir;
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write("f", "hello")));
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr again, MappedFile::Open(dir.MakeLink("link", "f")));
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr other, MappedFile::Open(dir.Write("g", "hello")));
  EXPECT_EQ(file->identity(), again->identity());
  EXPECT_NE(file->identity(), other->identity());
  EXPECT_EQ(file->identity().size_bytes, 5);
}

TEST(CheckUnchangedTest, FileThatGrewOrShrankIsAborted) {
  const test::TempDir dir;
  const std::string path = dir.Write("f", "hello");
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  ASSERT_EQ(::truncate(path.c_str(), 3), 0);
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kAborted, HasSubstr(path)));
  ASSERT_EQ(::truncate(path.c_str(), 9), 0);
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kAborted));
}

TEST(CheckUnchangedTest, FileThatWasWrittenToIsAborted) {
  const test::TempDir dir;
  const std::string path = dir.Write("f", "hello");
  SetModified(path, 1'700'000'000, 5);
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  TF_EXPECT_OK(file->CheckUnchanged());
  dir.Write("f", "HELLO");
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kAborted, HasSubstr(path)));
}

TEST(CheckUnchangedTest, ChangeOfTheTimeByOneNanosecondIsAborted) {
  const test::TempDir dir;
  const std::string path = dir.Write("f", "hello");
  SetModified(path, 1'700'000'000, 5);
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  SetModified(path, 1'700'000'000, 6);
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kAborted));
}

TEST(CheckUnchangedTest, FileThatWasReplacedOrRemovedIsUnchangedAndKeepsItsBytes) {
  const test::TempDir dir;
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write("f", "old")));
  ASSERT_EQ(std::rename(dir.Write("g", "new").c_str(), dir.Path("f").c_str()), 0);
  TF_EXPECT_OK(file->CheckUnchanged());
  EXPECT_EQ(test::AsString(file->bytes()), "old");
  ASSERT_EQ(::unlink(dir.Path("f").c_str()), 0);
  TF_EXPECT_OK(file->CheckUnchanged());
}

TEST(CheckUnchangedTest, NewPermissionsOrNameAreNoChange) {
  const test::TempDir dir;
  const std::string path = dir.Write("f", "hello");
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  ASSERT_EQ(::chmod(path.c_str(), 0400), 0);
  ASSERT_EQ(std::rename(path.c_str(), dir.Path("g").c_str()), 0);
  TF_EXPECT_OK(file->CheckUnchanged());
}

TEST(BusErrorsTest, TruncatedFileShowsZerosAndSaysSo) {
  InstallSigbusHandler();
  const test::TempDir dir;
  const std::string path = dir.Write("f", std::string(5 * 65'536, 'x'));
  SetModified(path, 1'700'000'000, 0);
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(path));
  TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr other, MappedFile::Open(dir.Write("g", std::string(65'536, 'y'))));
  ASSERT_EQ(::truncate(path.c_str(), 65'536), 0);
  EXPECT_EQ(test::AsString(file->bytes().subspan(2 * 65'536)), std::string(3 * 65'536, '\0'));
  EXPECT_EQ(test::AsString(file->bytes().first(65'536)), std::string(65'536, 'x'));
  // Restores size and time, as if the file were written again in place. The error must stay.
  ASSERT_EQ(::truncate(path.c_str(), 5 * 65'536), 0);
  SetModified(path, 1'700'000'000, 0);
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kAborted, AllOf(HasSubstr(path), HasSubstr("read"))));
  EXPECT_EQ(test::AsString(other->bytes()), std::string(65'536, 'y'));
  TF_EXPECT_OK(other->CheckUnchanged());
}

TEST(BusErrorsTest, ManyFilesMappedAndTruncatedByManyThreads) {
  InstallSigbusHandler();
  const test::TempDir dir;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&dir, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string name = std::to_string(t) + "-" + std::to_string(i % 7);
        TF_ASSERT_OK_AND_ASSIGN(const MappedFilePtr file, MappedFile::Open(dir.Write(name, std::string(20'000, 'x'))));
        ASSERT_EQ(::truncate(file->path().c_str(), 0), 0);
        EXPECT_EQ(test::AsString(file->bytes()), std::string(20'000, '\0'));
        EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kAborted));
      }
    });
  }
}

TEST(SigbusTest, FaultInAForeignMappingEndsTheProcess) {
  const auto touch_foreign_mapping = [] {
    InstallSigbusHandler();
    const test::TempDir dir;
    const UniqueFd fd(::open(dir.Write("f", "").c_str(), O_RDONLY | O_CLOEXEC));
    const void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0);
    std::exit(*static_cast<const volatile char*>(page));
  };
  EXPECT_DEATH(touch_foreign_mapping(), "");
}

}  // namespace
}  // namespace tensorferry
