// SPDX-License-Identifier: Apache-2.0
// The contract of on_read_done: the read is complete and confirmed. Fetches run in the background with our server in
// the same process, while their files are edited in place.
//
// TENSORFERRY_SOAK=1 tests eight times the bytes, ten times as often.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "server/server.h"
#include "tensorferry/client.h"
#include "tests/testing/cutting_proxy.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::CuttingProxy;
using test::StatusIs;
using ::testing::Each;
using ::testing::HasSubstr;
using Fate = CuttingProxy::Fate;
using How = CuttingProxy::How;

constexpr char kModel[] = "m.safetensors";
constexpr std::int64_t kMib = std::int64_t{1} << 20;
constexpr std::int64_t kTensorBytes = 4 * kMib;
// The size of the model in tests without edits.
constexpr std::int64_t kSmallBytes = 48 * kMib;
// Ends only tests that hang.
constexpr absl::Duration kPatience = absl::Seconds(120);
constexpr absl::Duration kMaxCancelTime = absl::Seconds(2);

bool IsSet(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "1";
}
bool IsSoak() { return IsSet("TENSORFERRY_SOAK"); }
bool IsSanitized() { return IsSet("TENSORFERRY_SANITIZED"); }

// Returns the number of edits. TENSORFERRY_TEST_VARIANTS sets it.
int EditCount() {
  if (const char* chosen = std::getenv("TENSORFERRY_TEST_VARIANTS")) return std::max(1, std::atoi(chosen));
  if (IsSoak()) return 100;
  return IsSanitized() ? 4 : 10;
}

// Polls until `condition` is true. Returns false if that takes too long.
bool WaitUntil(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Microseconds(50));
  }
  return true;
}

// A read of the model, and the range of its bytes in the data.
struct PlannedRead {
  std::string tensor;
  std::optional<SliceSpec> slice = std::nullopt;
  std::size_t begin = 0;
  std::size_t size = 0;
};

// A sink that behaves like a device: the bytes become visible when Finish returns.
class DeviceLikeSink final : public Sink {
 public:
  explicit DeviceLikeSink(std::size_t size) : staged_(size, '\0') {}

  std::int64_t size_bytes() const override { return static_cast<std::int64_t>(staged_.size()); }
  absl::Status Begin(const FetchLimits&) override {
    ++begun_;
    return absl::OkStatus();
  }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override {
    EXPECT_FALSE(finished()) << "written to after Finish";
    std::memcpy(staged_.data() + offset, data.data(), data.size());
    return absl::OkStatus();
  }
  absl::Status Finish() override {
    absl::Status status = on_finish ? on_finish() : absl::OkStatus();
    arrived_ = staged_;
    ++finishes_;
    return status;
  }
  void Abandon(absl::Time) override {
    ++abandons_;
    if (on_abandon) on_abandon();
  }

  // Called by Finish and Abandon, unless empty.
  std::function<absl::Status()> on_finish = {};
  std::function<void()> on_abandon = {};

  bool finished() const { return finishes_ > 0; }
  int begun() const { return begun_; }
  int finishes() const { return finishes_; }
  int abandons() const { return abandons_; }
  const std::string& arrived() const { return arrived_; }

 private:
  std::string staged_;
  std::string arrived_;
  std::atomic<int> begun_ = 0;
  std::atomic<int> finishes_ = 0;
  std::atomic<int> abandons_ = 0;
};

// A sink whose Write blocks until the fetch is stopped.
class StuckSink final : public Sink {
 public:
  explicit StuckSink(std::int64_t size_bytes) : size_bytes_(size_bytes) {}

  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::Status Begin(const FetchLimits& limits) override {
    limits_ = limits;
    return absl::OkStatus();
  }
  absl::Status Write(std::int64_t, std::span<const std::byte>) override {
    absl::Notification stopped;
    const std::stop_callback on_stop(limits_.stop_token, [&] { stopped.Notify(); });
    is_stuck = true;
    stopped.WaitForNotification();
    return when_stopped;
  }
  absl::Status Finish() override { return absl::OkStatus(); }

  std::atomic<bool> is_stuck = false;
  absl::Status when_stopped = absl::CancelledError("stopped");

 private:
  const std::int64_t size_bytes_;
  FetchLimits limits_;
};

class ConfirmationTest : public ::testing::Test {
 protected:
  // Writes a file of tensors "t.0", "t.1", ... in which no two MiB are equal.
  void MakeModel(std::int64_t size_bytes) {
    std::vector<test::TensorSpec> tensors;
    for (std::int64_t i = 0; i < size_bytes / kTensorBytes; ++i) {
      tensors.push_back({fmt::format("t.{}", i), Dtype::kU8, {kTensorBytes}});
    }
    tensors.push_back({"empty", Dtype::kF32, {0, 3}});
    std::vector<std::uint64_t> words(static_cast<std::size_t>(kMib) / 8);
    for (std::uint64_t& word : words) word = random_.generator()();
    data_.resize(static_cast<std::size_t>(size_bytes));
    for (std::size_t begin = 0; begin < data_.size(); begin += static_cast<std::size_t>(kMib)) {
      std::memcpy(data_.data() + begin, words.data(), words.size() * 8);
      for (std::uint64_t& word : words) ++word;
    }
    const std::string header = test::SafetensorsBytes(test::HeaderJson(tensors));
    data_offset_ = static_cast<std::int64_t>(header.size());
    directory_.Write(kModel, header);
    file_ = UniqueFd(::open(directory_.Path(kModel).c_str(), O_RDWR | O_CLOEXEC));
    Overwrite(0, data_);
  }

  // Overwrites the file in place, at `begin` of the data.
  void Overwrite(std::size_t begin, std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t size =
          ::pwrite(file_.get(), bytes.data(), bytes.size(), data_offset_ + static_cast<std::int64_t>(begin));
      ASSERT_GT(size, 0);
      bytes.remove_prefix(static_cast<std::size_t>(size));
      begin += static_cast<std::size_t>(size);
    }
  }

  void Serve(server::IoMode io = server::IoMode::kMmap) {
    server_.reset();
    // Clocks of file systems are coarse. This time lets every edit change the modification time.
    const std::array<timespec, 2> times = {{{.tv_sec = 1'000'000'000, .tv_nsec = 0}, {1'000'000'000, 0}}};
    ASSERT_EQ(::futimens(file_.get(), times.data()), 0);
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Load(directory_.path()));
    server::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.stream.io = io;
    TF_ASSERT_OK_AND_ASSIGN(server_, server::Server::Start(options, catalog));
  }

  static Client Connect(const std::string& address, int connections = 1, const RetryOptions& retry = {}) {
    absl::StatusOr<Client> client = Client::Connect({address}, {.connections = connections, .retry = retry});
    if (!client.ok()) {
      std::fprintf(stderr, "cannot connect: %s\n", client.status().ToString().c_str());
      std::abort();
    }
    return *std::move(client);
  }
  Client Connect(int connections = 1) const { return Connect(server_->address(), connections); }

  // Returns reads that together cover all data once: tensors, and slices of tensors, in random order.
  std::vector<PlannedRead> MakePlan() {
    std::vector<PlannedRead> plan;
    for (std::size_t i = 0; i < data_.size() / kTensorBytes; ++i) {
      const std::int64_t pieces = random_.OneOf({1, 1, 2, 4, 16});
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        PlannedRead& read = plan.emplace_back();
        read.tensor = fmt::format("t.{}", i);
        const std::int64_t size = kTensorBytes / pieces;
        if (pieces > 1) {
          read.slice = SliceSpec{.dimensions = {Range{.start = piece * size, .stop = (piece + 1) * size, .step = 1}}};
        }
        read.begin = i * kTensorBytes + static_cast<std::size_t>(piece * size);
        read.size = static_cast<std::size_t>(size);
      }
    }
    std::ranges::shuffle(plan, random_.generator());
    return plan;
  }

  std::string_view Expected(const PlannedRead& read) const {
    return std::string_view(data_).substr(read.begin, read.size);
  }

  // Returns the plan, with destinations in `memory` at the same offsets as in the data.
  static std::vector<Read> IntoMemory(const std::vector<PlannedRead>& plan, std::string& memory) {
    std::vector<Read> reads;
    for (const PlannedRead& read : plan) {
      reads.push_back(
          {.tensor = read.tensor, .slice = read.slice, .into = std::span(memory).subspan(read.begin, read.size)});
    }
    return reads;
  }

  bool HasArrived(const PlannedRead& read, const std::string& memory) const {
    return std::string_view(memory).substr(read.begin, read.size) == Expected(read);
  }

  // Counts the outcomes of the edits of a test.
  struct Tally {
    int edits = 0;
    int failed = 0;           // the fetch ended with an error
    int reported_before = 0;  // reads that were reported before the edit
    int reported_after = 0;
    int wrong = 0;  // reads that were reported and have, or had, other bytes
  };

  // Runs a fetch and edits the file meanwhile.
  void RunEdit(std::string& memory, Tally& tally) {
    const std::int64_t total = static_cast<std::int64_t>(data_.size());
    const auto io = random_.OneIn(2) ? server::IoMode::kMmap : server::IoMode::kPread;
    const int connections = static_cast<int>(random_.Between(1, 3));
    const bool is_warm = random_.OneIn(2);
    const std::int64_t edit_after = random_.Between((IsSoak() ? 100 * kMib : 100 * kMib / 8), total * 9 / 10);
    SCOPED_TRACE(fmt::format("edit {} after {} bytes, io {}, {} connections{}", tally.edits, edit_after,
                             static_cast<int>(io), connections, is_warm ? ", read before" : ""));
    ++tally.edits;
    ASSERT_NO_FATAL_FAILURE(Serve(io));
    const std::vector<PlannedRead> plan = MakePlan();
    const std::vector<Read> reads = IntoMemory(plan, memory);
    const Client client = Connect(connections);
    // Bytes that were read before are sent from the mapping, with the checksum of the old bytes.
    if (is_warm) {
      TF_ASSERT_OK(client.Fetch(kModel, reads));
    }
    std::ranges::fill(memory, '\0');

    // The edits are anywhere, or a little after the bytes that have arrived, where the server reads now.
    const bool is_near = !random_.OneIn(4);
    std::vector<std::int64_t> places(static_cast<std::size_t>(random_.Between(1, 16)));
    for (std::int64_t& place : places) place = random_.Between(0, is_near ? 16 * kMib : total);
    const auto edit_bytes = static_cast<std::size_t>(random_.OneOf({1, 100, 4096, 64 << 10}));
    std::vector<std::pair<std::size_t, std::string>> edits;

    std::vector<int> times(plan.size(), 0);
    std::vector<bool> is_wrong(plan.size(), false);
    std::atomic<int> reported = 0;
    FetchOptions options;
    options.timeout = kPatience;
    options.on_read_done = [&](std::size_t index) {
      ++reported;
      ++times[index];
      if (!HasArrived(plan[index], memory)) is_wrong[index] = true;
    };
    PendingFetch pending = client.StartFetch(kModel, reads, options);
    std::atomic<bool> ended = false;
    int reported_before = 0;
    std::jthread editor([&] {
      while (pending.progress().bytes_done < edit_after && !ended) absl::SleepFor(absl::Microseconds(50));
      const std::int64_t around = is_near ? pending.progress().bytes_done : 0;
      for (const std::int64_t place : places) {
        const auto begin =
            static_cast<std::size_t>(std::min(around + place, total - static_cast<std::int64_t>(edit_bytes)));
        std::string& bytes = edits.emplace_back(begin, data_.substr(begin, edit_bytes)).second;
        for (char& byte : bytes) byte = static_cast<char>(byte ^ 0x55);
      }
      reported_before = reported;
      for (const auto& [begin, bytes] : edits) Overwrite(begin, bytes);
    });
    const absl::Status status = pending.Wait();
    ended = true;
    editor.join();

    tally.reported_before += reported_before;
    tally.reported_after += reported - reported_before;
    // Nothing may be written to a read after it was reported.
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (times[i] > 0 && !HasArrived(plan[i], memory)) is_wrong[i] = true;
    }
    tally.wrong += static_cast<int>(std::ranges::count(is_wrong, true));
    if (status.ok()) {
      EXPECT_TRUE(memory == data_) << "wrong bytes were reported as success";
      EXPECT_THAT(times, Each(1));
    } else {
      ++tally.failed;
      EXPECT_TRUE(absl::IsAborted(status) || absl::IsDataLoss(status)) << status;
      for (const int count : times) EXPECT_LE(count, 1);
    }
    for (const auto& [begin, bytes] : edits) Overwrite(begin, std::string_view(data_).substr(begin, bytes.size()));
  }

  test::Random random_;
  test::TempDir directory_;
  std::string data_;
  std::int64_t data_offset_ = 0;
  UniqueFd file_;
  std::unique_ptr<server::Server> server_;
};

// Edits

TEST_F(ConfirmationTest, ReadOfAFileThatIsEditedInPlaceIsReportedWithTheOldBytesOrNotAtAll) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(IsSoak() ? 1024 * kMib : 128 * kMib));
  std::string memory(data_.size(), '\0');
  Tally tally;
  const int count = EditCount();
  for (int i = 0; i < count && !HasFatalFailure(); ++i) RunEdit(memory, tally);
  std::printf("%d edits of %zu MiB: %d fetches failed, %d reads were reported before the edit, %d after it, %d wrong\n",
              tally.edits, data_.size() >> 20, tally.failed, tally.reported_before, tally.reported_after, tally.wrong);
  EXPECT_EQ(tally.wrong, 0);
  EXPECT_EQ(tally.edits, count);
  // Otherwise the test would prove nothing.
  EXPECT_GE(tally.failed, count / 2);
  EXPECT_GT(tally.reported_before, 0);
}

// Reports

TEST_F(ConfirmationTest, EachReadIsReportedOnceBeforeWaitReturns) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  for (const auto io : {server::IoMode::kMmap, server::IoMode::kPread}) {
    ASSERT_NO_FATAL_FAILURE(Serve(io));
    for (const int connections : {0, 1, 2, 4}) {
      SCOPED_TRACE(fmt::format("io {}, {} connections", static_cast<int>(io), connections));
      const std::vector<PlannedRead> plan = MakePlan();
      std::string memory(data_.size(), '\0');
      std::vector<Read> reads = IntoMemory(plan, memory);
      // A third of them are deferred.
      for (Read& read : reads) {
        if (!random_.OneIn(3)) continue;
        read.into = Destination::Deferred([into = read.into](const ReadResult&) { return into; });
      }
      const std::size_t empty = reads.size();
      reads.push_back({.tensor = "empty", .into = std::span<std::byte>()});

      std::vector<int> times(reads.size(), 0);
      const std::thread::id waiting = std::this_thread::get_id();
      FetchOptions options;
      options.timeout = kPatience;
      options.on_read_done = [&](std::size_t index) {
        ++times[index];
        EXPECT_EQ(std::this_thread::get_id(), waiting);
        EXPECT_TRUE(index == empty || HasArrived(plan[index], memory)) << reads[index].tensor;
      };
      PendingFetch pending = Connect(connections).StartFetch(kModel, reads, options);
      TF_ASSERT_OK(pending.Wait());
      EXPECT_THAT(times, Each(1));
      TF_ASSERT_OK(pending.Wait());
      TF_ASSERT_OK_AND_ASSIGN(const FetchResult result, pending.Result());
      EXPECT_THAT(times, Each(1));
      ASSERT_EQ(result.reads.size(), reads.size());
      for (std::size_t i = 0; i < reads.size(); ++i) EXPECT_EQ(result.reads[i].name, reads[i].tensor);
      EXPECT_TRUE(memory == data_);
      EXPECT_EQ(pending.progress().bytes_done, static_cast<std::int64_t>(data_.size()));
      EXPECT_EQ(pending.progress().bytes_total, static_cast<std::int64_t>(data_.size()));

      // The same with a blocking fetch.
      std::ranges::fill(times, 0);
      std::ranges::fill(memory, '\0');
      TF_ASSERT_OK(Connect(connections).Fetch(kModel, reads, options));
      EXPECT_THAT(times, Each(1));
    }
  }
}

TEST_F(ConfirmationTest, TransferContinuesWhileTheCallbackBlocks) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  for (const int connections : {1, 2}) {
    const std::vector<PlannedRead> plan = MakePlan();
    std::string memory(data_.size(), '\0');
    std::optional<PendingFetch> pending;
    std::int64_t done_at_first = -1;
    int reported = 0;
    FetchOptions options;
    options.timeout = kPatience;
    options.on_read_done = [&](std::size_t) {
      ++reported;
      if (done_at_first >= 0) return;
      done_at_first = pending->progress().bytes_done;
      EXPECT_TRUE(WaitUntil([&] { return pending->progress().bytes_done == static_cast<std::int64_t>(data_.size()); }));
    };
    pending.emplace(Connect(connections).StartFetch(kModel, IntoMemory(plan, memory), options));
    TF_ASSERT_OK(pending->Wait());
    EXPECT_EQ(reported, static_cast<int>(plan.size()));
    EXPECT_TRUE(memory == data_);
    std::printf("%d connections: the first read was reported after %ld of %zu bytes\n", connections,
                static_cast<long>(done_at_first), data_.size());
  }
}

// Sinks

TEST_F(ConfirmationTest, ReadIntoADeviceIsReportedWhenItHasArrivedThere) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  for (const int connections : {1, 3}) {
    SCOPED_TRACE(fmt::format("{} connections", connections));
    const std::vector<PlannedRead> plan = MakePlan();
    std::deque<DeviceLikeSink> sinks;
    std::vector<Read> reads;
    for (const PlannedRead& read : plan) {
      DeviceLikeSink& sink = sinks.emplace_back(read.size);
      Destination into = &sink;
      if (random_.OneIn(3)) into = Destination::Deferred([&sink](const ReadResult&) { return Destination(&sink); });
      reads.push_back({.tensor = read.tensor, .slice = read.slice, .into = std::move(into)});
    }
    std::vector<int> times(plan.size(), 0);
    FetchOptions options;
    options.timeout = kPatience;
    options.on_read_done = [&](std::size_t index) {
      ++times[index];
      EXPECT_EQ(sinks[index].finishes(), 1) << "reported before Finish";
      EXPECT_TRUE(sinks[index].arrived() == Expected(plan[index]));
    };
    TF_ASSERT_OK(Connect(connections).StartFetch(kModel, reads, options).Wait());
    EXPECT_THAT(times, Each(1));
    for (const DeviceLikeSink& sink : sinks) {
      EXPECT_EQ(sink.begun(), 1);
      EXPECT_EQ(sink.finishes(), 1);
      EXPECT_EQ(sink.abandons(), 0);
    }
  }
}

TEST_F(ConfirmationTest, FetchIntoADeviceThatFailsEndsWithItsError) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  // The fetch cannot end without the failure.
  CuttingProxy proxy(server_->address(), [](int) { return Fate{40 * kMib, How::kStall}; });
  std::deque<DeviceLikeSink> sinks;
  std::vector<Read> reads;
  for (std::size_t i = 0; i < data_.size() / kTensorBytes; ++i) {
    DeviceLikeSink& sink = sinks.emplace_back(static_cast<std::size_t>(kTensorBytes));
    reads.push_back({.tensor = fmt::format("t.{}", i), .into = &sink});
  }
  sinks[1].on_finish = [] { return absl::InternalError("the device was lost"); };
  std::vector<std::size_t> reported;
  FetchOptions options;
  options.timeout = kPatience;
  options.on_read_done = [&](std::size_t index) { reported.push_back(index); };
  PendingFetch pending = Connect(proxy.address()).StartFetch(kModel, reads, options);
  EXPECT_THAT(pending.Wait(), StatusIs(absl::StatusCode::kInternal, HasSubstr("the device was lost")));
  EXPECT_THAT(pending.Result(), StatusIs(absl::StatusCode::kInternal, HasSubstr("the device was lost")));
  EXPECT_THAT(reported, ::testing::Not(::testing::Contains(1)));
  for (const DeviceLikeSink& sink : sinks) EXPECT_EQ(sink.abandons(), 1);
}

TEST_F(ConfirmationTest, FetchThatFailsBeforeAReadArrivedAtItsDeviceEndsWithTheReason) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  CuttingProxy proxy(server_->address(), [](int) { return Fate{40 * kMib, How::kClose}; });
  std::string memory(data_.size(), '\0');
  DeviceLikeSink sink(static_cast<std::size_t>(kTensorBytes));
  std::vector<Read> reads;
  for (std::size_t i = 0; i < data_.size() / kTensorBytes; ++i) {
    Destination into = std::span(memory).subspan(i * kTensorBytes, static_cast<std::size_t>(kTensorBytes));
    reads.push_back({.tensor = fmt::format("t.{}", i), .into = i == 1 ? Destination(&sink) : std::move(into)});
  }
  // The fetch fails while the first read is reported, and the sink of the next one is abandoned.
  std::atomic<bool> abandoning = false;
  std::atomic<bool> returned = false;
  sink.on_abandon = [&] {
    abandoning = true;
    EXPECT_TRUE(WaitUntil([&] { return returned.load(); }));
    // Lets the waiting thread reach the sink first. The outcome must be the same without this.
    absl::SleepFor(absl::Milliseconds(100));
  };
  FetchOptions options;
  options.timeout = kPatience;
  options.on_read_done = [&](std::size_t index) {
    EXPECT_EQ(index, 0U);
    EXPECT_TRUE(WaitUntil([&] { return abandoning.load(); }));
    returned = true;
  };
  PendingFetch pending = Connect(proxy.address(), 1, {.max_attempts = 1}).StartFetch(kModel, reads, options);
  EXPECT_THAT(pending.Wait(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(proxy.address())));
}

// Cancel

TEST_F(ConfirmationTest, CancelEndsAFetchThatIsStalled) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  for (const int connections : {1, 2}) {
    std::string memory(data_.size(), '\0');
    CuttingProxy proxy(server_->address(), [](int) { return Fate{10 * kMib, How::kStall}; });
    const Client client = Connect(proxy.address(), connections);
    PendingFetch pending = client.StartFetch(kModel, IntoMemory(MakePlan(), memory), {});
    absl::Time cancelled;
    std::jthread other([&] {
      EXPECT_TRUE(WaitUntil([&] { return proxy.faults() == connections; }));
      cancelled = absl::Now();
      pending.Cancel();
    });
    EXPECT_THAT(pending.Wait(), StatusIs(absl::StatusCode::kCancelled));
    other.join();
    EXPECT_LT(absl::Now() - cancelled, kMaxCancelTime);
    EXPECT_THAT(pending.Wait(), StatusIs(absl::StatusCode::kCancelled));
  }
}

TEST_F(ConfirmationTest, CancelInTheCallbackEndsTheFetch) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  CuttingProxy proxy(server_->address(), [](int) { return Fate{40 * kMib, How::kStall}; });
  const Client client = Connect(proxy.address());
  std::string memory(data_.size(), '\0');
  std::optional<PendingFetch> pending;
  absl::Time cancelled;
  FetchOptions options;
  options.on_read_done = [&](std::size_t) {
    cancelled = absl::Now();
    pending->Cancel();
  };
  pending.emplace(client.StartFetch(kModel, IntoMemory(MakePlan(), memory), options));
  EXPECT_THAT(pending->Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_LT(absl::Now() - cancelled, kMaxCancelTime);
}

TEST_F(ConfirmationTest, CancelEndsAFetchWhoseSinkIsStuck) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  const Client client = Connect();
  StuckSink sink(kTensorBytes);
  const Read read{.tensor = "t.3", .into = &sink};
  PendingFetch pending = client.StartFetch(kModel, std::span(&read, 1), {});
  EXPECT_TRUE(WaitUntil([&] { return sink.is_stuck.load(); }));
  const absl::Time cancelled = absl::Now();
  pending.Cancel();
  EXPECT_THAT(pending.Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_LT(absl::Now() - cancelled, kMaxCancelTime);
}

TEST_F(ConfirmationTest, CancelEndsAFetchThatWaitsForItsServerToComeBack) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  const RetryOptions patient{.max_attempts = 1000,
                             .max_time_without_progress = absl::Hours(1),
                             .initial_delay = absl::Minutes(10),
                             .max_delay = absl::Minutes(10)};
  const Client client = Connect(server_->address(), 2, patient);
  server_.reset();
  std::string memory(data_.size(), '\0');
  std::atomic<bool> is_waiting = false;
  FetchOptions options;
  options.on_retry = [&](const absl::Status&, absl::Duration) { is_waiting = true; };
  PendingFetch pending = client.StartFetch(kModel, IntoMemory(MakePlan(), memory), options);
  EXPECT_TRUE(WaitUntil([&] { return is_waiting.load(); }));
  const absl::Time cancelled = absl::Now();
  pending.Cancel();
  EXPECT_THAT(pending.Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_LT(absl::Now() - cancelled, kMaxCancelTime);
}

TEST_F(ConfirmationTest, CancelLeavesTheClientItsConnection) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  std::atomic<int> dialed = 0;
  CuttingProxy proxy(server_->address(), [&](int) {
    ++dialed;
    return std::nullopt;
  });
  const Client client = Connect(proxy.address());
  StuckSink sink(kTensorBytes);
  sink.when_stopped = absl::OkStatus();
  const Read read{.tensor = "t.3", .into = &sink};
  PendingFetch pending = client.StartFetch(kModel, std::span(&read, 1), {});
  EXPECT_TRUE(WaitUntil([&] { return sink.is_stuck.load(); }));
  pending.Cancel();
  EXPECT_THAT(pending.Wait(), StatusIs(absl::StatusCode::kCancelled));
  TF_EXPECT_OK(client.ListModels());
  EXPECT_EQ(dialed, 1) << "the client closed a working connection";
}

TEST_F(ConfirmationTest, CancelAfterTheEndChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  std::string memory(data_.size(), '\0');
  PendingFetch pending = Connect().StartFetch(kModel, IntoMemory(MakePlan(), memory), {});
  TF_ASSERT_OK(pending.Wait());
  pending.Cancel();
  TF_EXPECT_OK(pending.Wait());
  TF_EXPECT_OK(pending.Result());
}

// Destruction

TEST_F(ConfirmationTest, FetchThatIsDestroyedWhileItRunsWritesNoMore) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  const int rounds = IsSanitized() ? 10 : 30;
  int destroyed_early = 0;
  for (int i = 0; i < rounds; ++i) {
    const std::vector<PlannedRead> plan = MakePlan();
    std::string memory(data_.size(), '\0');
    std::deque<DeviceLikeSink> sinks;
    std::vector<Read> reads = IntoMemory(plan, memory);
    for (std::size_t r = 0; r < reads.size(); r += 2) reads[r].into = &sinks.emplace_back(plan[r].size);
    auto client = std::make_unique<Client>(Connect(static_cast<int>(random_.Between(1, 3))));
    FetchOptions options;
    options.on_read_done = [](std::size_t) { ADD_FAILURE() << "reported although no thread waits"; };
    {
      PendingFetch pending = client->StartFetch(kModel, reads, options);
      PendingFetch moved = std::move(pending);
      // The fetch keeps the resources of its client alive.
      if (random_.OneIn(2)) client.reset();
      const std::int64_t until = random_.Between(0, kSmallBytes * 3 / 4);
      EXPECT_TRUE(WaitUntil([&] { return moved.progress().bytes_done >= until; }));
      if (moved.progress().bytes_done < kSmallBytes) ++destroyed_early;
    }
    std::ranges::fill(memory, '\xee');
    EXPECT_TRUE(WaitUntil([&] { return server_->active_streams() == 0; }));
    EXPECT_EQ(memory.find_first_not_of('\xee'), std::string::npos) << "written to after the fetch was destroyed";
    for (const DeviceLikeSink& sink : sinks) EXPECT_EQ(sink.begun(), sink.abandons() + sink.finishes());
  }
  EXPECT_GE(destroyed_early, rounds / 2);
}

TEST_F(ConfirmationTest, FetchThatIsReplacedByAnotherEnds) {
  ASSERT_NO_FATAL_FAILURE(MakeModel(kSmallBytes));
  ASSERT_NO_FATAL_FAILURE(Serve());
  const Client client = Connect(2);
  // The new one begins before the old one ends.
  std::array<std::string, 2> memories;
  memories.fill(std::string(data_.size(), '\0'));
  const std::vector<PlannedRead> plan = MakePlan();
  PendingFetch pending = client.StartFetch(kModel, IntoMemory(plan, memories[0]), {});
  for (std::size_t i = 1; i <= 5; ++i) pending = client.StartFetch(kModel, IntoMemory(plan, memories[i % 2]), {});
  TF_ASSERT_OK(pending.Wait());
  EXPECT_TRUE(memories[1] == data_);
  std::ranges::fill(memories[0], '\xee');
  EXPECT_TRUE(WaitUntil([&] { return server_->active_streams() == 0; }));
  EXPECT_EQ(memories[0].find_first_not_of('\xee'), std::string::npos) << "written to after the fetch was replaced";
}

}  // namespace
}  // namespace tensorferry
