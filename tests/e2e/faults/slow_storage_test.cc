// SPDX-License-Identifier: Apache-2.0
// Storage that does not answer, made with userfaultfd. Reads from it wait, and nothing else does.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "lib/files/unique_fd.h"
#include "server/server.h"
#include "tensorferry/client.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

constexpr std::int64_t kColdBytes = 3 << 20;
constexpr std::byte kStored{0x5a};

// Disks that receive page faults and answer them only after Answer(). Safe for concurrent use.
class StuckStorage {
 public:
  // Returns null if the kernel does not support this, and the reason in `why_not`.
  static std::unique_ptr<StuckStorage> Create(std::string& why_not) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
    uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM, .ioctls = 0};
    if (fd.ok() && ::ioctl(fd.get(), UFFDIO_API, &api) == 0) {
      return std::unique_ptr<StuckStorage>(new StuckStorage(std::move(fd)));
    }
    why_not = std::string("no userfaultfd for shared memory here: ") + std::strerror(errno);
    return nullptr;
  }

  // Puts all pages of `file` that were never written on a disk that is stuck. `path` is the path of the file.
  void Hold(const MappedFile& file, const std::string& path) {
    // The kernel requires a mapping of a file that is open for writing. It replaces the mapping of `file`.
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    auto* address = const_cast<std::byte*>(file.bytes().data());
    const std::size_t size = file.bytes().size();
    ASSERT_EQ(::mmap(address, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd.get(), 0), address);
    const std::size_t whole_pages = (size + kPage - 1) / kPage * kPage;
    uffdio_register range = {.range = {.start = reinterpret_cast<std::uintptr_t>(address), .len = whole_pages},
                             .mode = UFFDIO_REGISTER_MODE_MISSING,
                             .ioctls = 0};
    ASSERT_EQ(::ioctl(fd_.get(), UFFDIO_REGISTER, &range), 0) << std::strerror(errno);
  }

  // Returns the number of page faults so far.
  int waiting() const { return waiting_; }

  // Answers all page faults, and all later ones.
  void Answer() { answer_ = true; }

 private:
  static constexpr std::size_t kPage = 4096;

  explicit StuckStorage(UniqueFd fd)
      : fd_(std::move(fd)), page_(kPage, kStored), thread_([this](const std::stop_token& stop) { Serve(stop); }) {}

  void Serve(const std::stop_token& stop) {
    std::vector<std::uint64_t> held;
    while (!stop.stop_requested()) {
      pollfd event = {fd_.get(), POLLIN, 0};
      ::poll(&event, 1, 1);
      uffd_msg message = {};
      while (::read(fd_.get(), &message, sizeof(message)) == sizeof(message)) {
        if (message.event != UFFD_EVENT_PAGEFAULT) continue;
        held.push_back(message.arg.pagefault.address / kPage * kPage);
        ++waiting_;
      }
      if (!answer_) continue;
      for (const std::uint64_t address : held) {
        uffdio_copy copy = {
            .dst = address, .src = reinterpret_cast<std::uintptr_t>(page_.data()), .len = kPage, .mode = 0, .copy = 0};
        // Fails if two threads fault on the same page. The first answer wakes both.
        ::ioctl(fd_.get(), UFFDIO_COPY, &copy);
      }
      held.clear();
    }
  }

  const UniqueFd fd_;
  const std::vector<std::byte> page_;
  std::atomic<bool> answer_ = false;
  std::atomic<int> waiting_ = 0;
  std::jthread thread_;
};

// A directory in memory, whose files can have missing pages.
class SharedMemoryDirectory {
 public:
  SharedMemoryDirectory() : path_("/dev/shm/tensorferry-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~SharedMemoryDirectory() {
    if (!path_.empty()) std::filesystem::remove_all(path_);
  }
  // Empty if there is no such directory.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Load {
  int workers;
  int cold_streams;
};

class SlowStorageTest : public ::testing::TestWithParam<Load> {
 protected:
  // Makes a file of one tensor "t" whose data was never written.
  std::string WriteCold(int number) const {
    const std::string path = directory_.path() + "/cold" + std::to_string(number) + ".safetensors";
    const std::string head = test::SafetensorsBytes(test::HeaderJson({{"t", Dtype::kU8, {kColdBytes}}}));
    std::ofstream(path, std::ios::binary) << head;
    std::filesystem::resize_file(path, head.size() + kColdBytes);
    return path;
  }

  const SharedMemoryDirectory directory_;
};

TEST_P(SlowStorageTest, SmallReadsOfCachedBytesDoNotWaitForAStuckDisk) {
  if (directory_.path().empty()) GTEST_SKIP() << "no /dev/shm on this machine";
  std::string why_not;
  // Destroyed after the server, whose workers wait for it.
  const std::unique_ptr<StuckStorage> storage = StuckStorage::Create(why_not);
  if (storage == nullptr) GTEST_SKIP() << why_not;
  const std::string hot = test::ValidFile({{"t", Dtype::kU8, {4096}}});
  std::ofstream(directory_.path() + "/hot.safetensors", std::ios::binary) << hot;
  std::vector<std::string> paths;
  for (int i = 0; i < GetParam().cold_streams; ++i) paths.push_back(WriteCold(i));
  TF_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const Catalog> catalog, Catalog::Load(directory_.path()));
  for (const std::string& path : paths) {
    TF_ASSERT_OK_AND_ASSIGN(const auto model, catalog->Find(std::filesystem::path(path).filename().string()));
    ASSERT_NO_FATAL_FAILURE(storage->Hold(*model->files().front().file, path));
  }
  server::ServerOptions options;
  // userfaultfd affects mappings only. Chunks of the size of a block would be read from the file at first, as zeros.
  options.stream.chunk_bytes = 512 << 10;
  options.listen = "127.0.0.1:0";
  options.stream.workers = GetParam().workers;
  TF_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<server::Server> server, server::Server::Start(options, catalog));

  std::vector<absl::StatusOr<Tensor>> cold(paths.size());
  std::vector<std::jthread> readers;
  // No thread waits forever, even if the test fails below.
  struct Release {
    StuckStorage& storage;
    ~Release() { storage.Answer(); }
  } release{*storage};
  for (std::size_t i = 0; i < paths.size(); ++i) {
    readers.emplace_back([&, i] {
      const absl::StatusOr<Client> client = Client::Connect({server->address()});
      cold[i] = client.ok() ? client->FetchTensor(std::filesystem::path(paths[i]).filename().string(), "t")
                            : absl::StatusOr<Tensor>(client.status());
    });
  }
  const int stuck = std::min(GetParam().workers, GetParam().cold_streams);
  for (int i = 0; storage->waiting() < stuck; ++i) {
    ASSERT_LT(i, 60'000) << "the cold streams never reached the disk";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  TF_ASSERT_OK_AND_ASSIGN(const Client client, Client::Connect({server->address()}));
  std::vector<double> milliseconds;
  for (int i = 0; i < 200; ++i) {
    const auto started = std::chrono::steady_clock::now();
    TF_ASSERT_OK_AND_ASSIGN(const Tensor tensor,
                            client.FetchTensor("hot.safetensors", "t", std::nullopt, {.timeout = absl::Seconds(60)}));
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count());
    ASSERT_EQ(test::AsString(tensor.data()), hot.substr(hot.size() - 4096));
  }
  std::ranges::sort(milliseconds);
  std::printf("small reads with %d streams on a stuck disk, %d workers: p50 %.2f ms, p99 %.2f ms\n",
              GetParam().cold_streams, GetParam().workers, milliseconds[100], milliseconds[198]);

  storage->Answer();
  readers.clear();
  for (const absl::StatusOr<Tensor>& tensor : cold) {
    TF_ASSERT_OK(tensor);
    const std::span<const std::byte> data = tensor->data();
    ASSERT_EQ(data.size(), static_cast<std::size_t>(kColdBytes));
    // The first page contains the header and was never missing.
    EXPECT_TRUE(std::ranges::all_of(data.subspan(4096), [](std::byte b) { return b == kStored; }));
  }
}

INSTANTIATE_TEST_SUITE_P(Storage, SlowStorageTest, ::testing::Values(Load{4, 2}, Load{16, 8}), [](const auto& info) {
  return std::to_string(info.param.cold_streams) + "StreamsAnd" + std::to_string(info.param.workers) + "Workers";
});

}  // namespace
}  // namespace tensorferry
