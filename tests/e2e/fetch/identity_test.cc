// SPDX-License-Identifier: Apache-2.0
// Two files of equal sample and different bytes. A server that sees only one of them cannot distinguish them. A fetch
// that begins with one and resumes with the other must end with an error, or with all bytes of one of them.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"
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
using Fate = CuttingProxy::Fate;
using How = CuttingProxy::How;

constexpr char kModel[] = "m.safetensors";
constexpr char kMatrix[] = "matrix";
constexpr std::size_t kMatrixIndex = 1;
constexpr std::int64_t kMib = std::int64_t{1} << 20;
// The smallest range that a client gives a connection of its own.
constexpr std::int64_t kLaneBytes = 4 * kMib;
// The bytes of a connection that are not data: requests, responses before the data, and heads of messages.
constexpr std::int64_t kOverheadBytes = 16 << 10;
// Ends only tests that hang.
constexpr absl::Duration kPatience = absl::Seconds(120);

// Returns the number of variants of each case. TENSORFERRY_TEST_VARIANTS sets it.
int VariantCount() {
  if (const char* chosen = std::getenv("TENSORFERRY_TEST_VARIANTS")) return std::max(1, std::atoi(chosen));
  const char* sanitized = std::getenv("TENSORFERRY_SANITIZED");
  return sanitized != nullptr && std::string_view(sanitized) == "1" ? 20 : 100;
}
// Returns the number for cases with equal files, where every fetch must succeed.
int EqualVariantCount() { return std::max(1, VariantCount() / 4); }

// Returns true if a digest covers the byte at `position` of a tensor of this size. It covers all bytes of a small
// tensor, otherwise four runs that are evenly spread.
bool IsSampled(std::int64_t size_bytes, std::int64_t position) {
  if (size_bytes <= 1024) return true;
  const std::int64_t distance = (size_bytes - 256) / 3;
  for (const std::int64_t begin : {std::int64_t{0}, distance, 2 * distance, size_bytes - 256}) {
    if (position >= begin && position < begin + 256) return true;
  }
  return false;
}

// Two files of equal sample.
struct Versions {
  std::vector<test::TensorSpec> tensors;
  std::vector<std::size_t> begins;  // of each tensor in the data, and the end of the last
  std::string header;
  std::array<std::string, 2> data;

  std::string File(std::size_t version) const { return header + data[version]; }
  std::string Tensor(std::size_t version, std::size_t index) const {
    return data[version].substr(begins[index], begins[index + 1] - begins[index]);
  }
};

// A read, and its expected bytes in each version.
struct Wanted {
  std::string tensor;
  std::optional<SliceSpec> slice = std::nullopt;
  std::array<std::string, 2> expected;
};

// Blocks all writes to the sinks of a fetch after a number of bytes, until Resume.
class Pause {
 public:
  explicit Pause(std::int64_t after_bytes) : after_bytes_(after_bytes) {}

  // Counts bytes. Blocks until Resume if there are enough.
  void Add(std::size_t size_bytes) {
    const MutexLock lock(&mutex_);
    written_bytes_ += static_cast<std::int64_t>(size_bytes);
    if (written_bytes_ < after_bytes_) return;
    reached_ = true;
    changed_.SignalAll();
    while (!resumed_) changed_.Wait(&mutex_);
  }
  // Records that the fetch has ended.
  void End() {
    const MutexLock lock(&mutex_);
    ended_ = true;
    changed_.SignalAll();
  }
  // Waits until the fetch is paused. Returns false if it ended before.
  bool Await() {
    const MutexLock lock(&mutex_);
    while (!reached_ && !ended_) changed_.Wait(&mutex_);
    return reached_;
  }
  void Resume() {
    const MutexLock lock(&mutex_);
    resumed_ = true;
    changed_.SignalAll();
  }

 private:
  const std::int64_t after_bytes_;
  Mutex mutex_;
  CondVar changed_;
  std::int64_t written_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reached_ ABSL_GUARDED_BY(mutex_) = false;
  bool resumed_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// A sink that writes to memory.
class MemorySink final : public Sink {
 public:
  // `pause` may be null.
  MemorySink(std::string& memory, Pause* pause) : memory_(memory), pause_(pause) {}

  std::int64_t size_bytes() const override { return static_cast<std::int64_t>(memory_.size()); }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override {
    std::memcpy(memory_.data() + offset, data.data(), data.size());
    if (pause_ != nullptr) pause_->Add(data.size());
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  std::string& memory_;
  Pause* const pause_;
};

// The change to the server while the fetch is paused.
enum class Change { kReplacedByRename, kOtherReplica, kRestarted };
// The kinds of fetch.
enum class Kind { kTensor, kSlice, kPlan, kFile };
constexpr std::array kKinds = {Kind::kTensor, Kind::kSlice, Kind::kPlan, Kind::kFile};

// Counts the outcomes of the variants of a case.
struct Tally {
  int variants = 0;
  int resumed = 0;  // the fetch continued after the change
  int aborted = 0;
  int of_version[2] = {};  // OK with its bytes, which may be those of both
  int wrong = 0;           // OK with other bytes, or another error than ABORTED

  void Print(const char* what) const {
    std::printf(
        "%s: %d variants, %d resumed after the change, %d ABORTED, %d OK with the old bytes, %d OK with the "
        "new, %d wrong\n",
        what, variants, resumed, aborted, of_version[0], of_version[1], wrong);
  }
};

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() {
    pool_.resize(40 * kMib);
    for (std::size_t i = 0; i < pool_.size(); i += 8) {
      const std::uint64_t value = random_.generator()();
      std::memcpy(pool_.data() + i, &value, sizeof(value));
    }
  }

  // Files

  // Makes tensors of about `size_bytes` in all: a large matrix, some of medium size, and small ones.
  Versions MakeVersions(std::int64_t size_bytes, bool equal) {
    Versions versions;
    const std::int64_t columns = random_.Between(500, 3000);
    const std::int64_t rows = size_bytes * 7 / 10 / (2 * columns);
    versions.tensors = {{"empty", Dtype::kF32, {0, 3}}, {kMatrix, Dtype::kU16, {rows, columns}}};
    for (int i = 0; i < 3; ++i) {
      versions.tensors.push_back({fmt::format("middle.{}", i), Dtype::kF32, {size_bytes / 10 / 4 - i}});
    }
    for (const std::int64_t size : {1, 255, 1023, 1024, 1025, 1279, 1500, 4097}) {
      versions.tensors.push_back({fmt::format("small.{}", size), Dtype::kU8, {size}});
    }
    versions.begins = {0};
    for (const test::TensorSpec& tensor : versions.tensors) {
      versions.begins.push_back(versions.begins.back() + static_cast<std::size_t>(test::SizeBytes(tensor)));
    }
    versions.header = test::SafetensorsBytes(test::HeaderJson(versions.tensors));
    const std::size_t size = versions.begins.back();
    versions.data[0] = versions.data[1] = pool_.substr(random_.Below(pool_.size() - size), size);
    if (!equal) ChangeBytes(versions);
    return versions;
  }

  // Changes bytes of the second version that are not sampled: random ones, or a run like an edited row.
  void ChangeBytes(Versions& versions) {
    const std::int64_t count = std::int64_t{1} << random_.Between(0, 12);
    const bool spread = !random_.OneIn(3);
    std::size_t position = random_.Below(versions.data[1].size());
    for (std::int64_t changed = 0; changed < count; ++position) {
      if (spread || position >= versions.data[1].size()) position = random_.Below(versions.data[1].size());
      const auto end = std::ranges::upper_bound(versions.begins, position);
      const std::size_t begin = *(end - 1);
      if (IsSampled(static_cast<std::int64_t>(*end - begin), static_cast<std::int64_t>(position - begin))) continue;
      char& byte = versions.data[1][position];
      byte = static_cast<char>(byte ^ random_.Between(1, 255));
      ++changed;
    }
  }

  // Returns a slice of the matrix with a large part of its bytes.
  Wanted MakeSlice(const Versions& versions) {
    const std::vector<std::int64_t>& shape = versions.tensors[kMatrixIndex].shape;
    const auto range = [this](std::int64_t size) {
      return Range{.start = random_.Between(0, size / 10), .stop = random_.Between(size * 9 / 10, size), .step = 1};
    };
    Range rows = range(shape[0]);
    Range columns = range(shape[1]);
    switch (random_.Below(4)) {
      case 0:
        columns = {.start = 0, .stop = shape[1], .step = 1};
        break;
      case 1:
        rows.step = 2;
        break;
      case 2:
        columns.step = 2;
        break;
      default:
        break;
    }
    Wanted wanted{.tensor = kMatrix, .slice = SliceSpec{.dimensions = {rows, columns}}, .expected = {}};
    for (std::size_t version = 0; version < 2; ++version) {
      const std::string_view data = std::string_view(versions.data[version]).substr(versions.begins[kMatrixIndex]);
      for (std::int64_t row = *rows.start; row < *rows.stop; row += rows.step) {
        for (std::int64_t column = *columns.start; column < *columns.stop; column += columns.step) {
          wanted.expected[version] += data.substr(static_cast<std::size_t>(2 * (row * shape[1] + column)), 2);
        }
      }
    }
    return wanted;
  }

  static Wanted WholeTensor(const Versions& versions, std::size_t index) {
    return {.tensor = versions.tensors[index].name,
            .slice = std::nullopt,
            .expected = {versions.Tensor(0, index), versions.Tensor(1, index)}};
  }

  std::vector<Wanted> MakeReads(Kind kind, const Versions& versions) {
    switch (kind) {
      case Kind::kTensor:
        return {WholeTensor(versions, kMatrixIndex)};
      case Kind::kSlice:
        return {MakeSlice(versions)};
      case Kind::kFile:
        return {{.tensor = kModel, .slice = std::nullopt, .expected = {versions.File(0), versions.File(1)}}};
      case Kind::kPlan:
        break;
    }
    std::vector<Wanted> reads;
    const std::vector<std::int64_t>& shape = versions.tensors[kMatrixIndex].shape;
    // The matrix is read in runs of rows.
    const std::int64_t rows = random_.Between(shape[0] / 20 + 1, shape[0]);
    for (std::int64_t row = 0; row < shape[0]; row += rows) {
      const std::int64_t end = std::min(row + rows, shape[0]);
      Wanted& wanted = reads.emplace_back();
      wanted.tensor = kMatrix;
      wanted.slice = SliceSpec{.dimensions = {Range{.start = row, .stop = end, .step = 1}}};
      for (std::size_t version = 0; version < 2; ++version) {
        wanted.expected[version] =
            versions.data[version].substr(versions.begins[kMatrixIndex] + static_cast<std::size_t>(2 * row * shape[1]),
                                          static_cast<std::size_t>(2 * (end - row) * shape[1]));
      }
    }
    for (std::size_t i = 0; i < versions.tensors.size(); ++i) {
      if (i != kMatrixIndex) reads.push_back(WholeTensor(versions, i));
    }
    std::ranges::shuffle(reads, random_.generator());
    return reads;
  }

  static std::int64_t TotalBytes(const std::vector<Wanted>& reads) {
    std::int64_t total = 0;
    for (const Wanted& read : reads) total += static_cast<std::int64_t>(read.expected[0].size());
    return total;
  }

  // Servers

  // A server of one root.
  struct Replica {
    std::unique_ptr<test::TempDir> root;
    std::shared_ptr<const Model> model;
    std::unique_ptr<server::Server> server;
  };

  // Returns a root with this version, and the model as in a catalog that has seen no other version.
  static void Publish(const Versions& versions, std::size_t version, Replica& replica) {
    replica.root = std::make_unique<test::TempDir>();
    replica.root->Write(kModel, versions.File(version));
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Load(replica.root->path()));
    TF_ASSERT_OK_AND_ASSIGN(replica.model, catalog->Find(kModel));
  }

  static void Serve(Replica& replica, const server::ServerOptions& options) {
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Load(replica.root->path()));
    TF_ASSERT_OK_AND_ASSIGN(replica.model, catalog->Find(kModel));
    TF_ASSERT_OK_AND_ASSIGN(replica.server, server::Server::Start(options, catalog));
  }

  server::ServerOptions RandomOptions(std::int64_t lane_bytes) {
    server::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.stream.io = random_.OneIn(2) ? server::IoMode::kMmap : server::IoMode::kPread;
    options.stream.chunk_bytes = static_cast<std::size_t>(random_.OneOf({4 << 10, 64 << 10, 256 << 10, kMib, kMib}));
    // Several messages must fit before a cut.
    if (static_cast<std::int64_t>(options.stream.chunk_bytes) > lane_bytes / 4) options.stream.chunk_bytes = 64 << 10;
    return options;
  }

  // Replaces the file of `current` by that of `next`, and lets the server of `current` reload it.
  void ReplaceByRename(Replica& current, const Replica& next, bool equal) {
    struct stat before = {};
    ASSERT_EQ(::stat(current.root->Path(kModel).c_str(), &before), 0);
    if (random_.OneIn(2)) {
      // As cp -p and rsync do.
      const std::array<timespec, 2> times = {before.st_atim, before.st_mtim};
      ASSERT_EQ(::utimensat(AT_FDCWD, next.root->Path(kModel).c_str(), times.data(), 0), 0);
    }
    std::filesystem::rename(next.root->Path(kModel), current.root->Path(kModel));
    server::CurrentCatalog& served = current.server->catalog();
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Reload(current.root->path(), served.Get()));
    TF_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const Model> model, catalog->Find(kModel));
    EXPECT_EQ(model->generation() == current.model->generation(), equal);
    EXPECT_NE(model->instance(), current.model->instance());
    served.Publish(catalog);
  }

  // Fetches

  // The outcome of a fetch.
  struct Outcome {
    absl::Status status;
    std::deque<std::string> results;
  };

  // Checks the reads that are reported during a fetch: together they must be of one version.
  class Reports {
   public:
    explicit Reports(const std::vector<Wanted>& reads) : reads_(reads) {}
    void Add(std::size_t index, std::string_view bytes) {
      for (std::size_t version = 0; version < 2; ++version) {
        could_be_[version] = could_be_[version] && bytes == reads_[index].expected[version];
      }
    }
    bool ok() const { return could_be_[0] || could_be_[1]; }

   private:
    const std::vector<Wanted>& reads_;
    std::array<bool, 2> could_be_ = {true, true};
  };

  // Fetches `reads` into sinks that block at `pause`, or into memory if it is null.
  static Outcome Fetch(const Client& client, Kind kind, const std::vector<Wanted>& reads, bool deferred, bool reported,
                       Pause* pause, FetchOptions options) {
    options.timeout = kPatience;
    Outcome outcome;
    Reports reports(reads);
    if (reported) {
      options.on_read_done = [&](std::size_t index) { reports.Add(index, outcome.results[index]); };
    }
    std::deque<MemorySink> sinks;
    std::vector<Read> requested;
    for (const Wanted& wanted : reads) {
      std::string& memory = outcome.results.emplace_back(wanted.expected[0].size(), '\0');
      MemorySink& sink = sinks.emplace_back(memory, pause);
      Destination into = pause != nullptr ? Destination(&sink) : Destination(memory);
      if (deferred) into = Destination::Deferred([into](const ReadResult&) { return into; });
      requested.push_back({.tensor = wanted.tensor, .slice = wanted.slice, .into = std::move(into)});
    }
    if (kind == Kind::kFile) {
      outcome.status = client.FetchFile(kModel, kModel, "", 0, requested.front().into, options);
    } else if (kind == Kind::kTensor && pause == nullptr) {
      absl::StatusOr<Tensor> tensor = client.FetchTensor(kModel, kMatrix, std::nullopt, options);
      if (tensor.ok()) outcome.results.front() = test::AsString(tensor->data());
      outcome.status = tensor.status();
    } else {
      outcome.status = client.Fetch(kModel, requested, options).status();
    }
    if (pause != nullptr) pause->End();
    EXPECT_TRUE(reports.ok()) << "reads of both versions were reported";
    return outcome;
  }

  // Counts an outcome, which must be an error or all bytes of one version.
  static void Judge(const Outcome& outcome, const std::vector<Wanted>& reads, bool equal, Tally& tally) {
    ++tally.variants;
    if (!outcome.status.ok()) {
      const bool expected = absl::IsAborted(outcome.status) && !equal;
      EXPECT_TRUE(expected) << outcome.status;
      ++(expected ? tally.aborted : tally.wrong);
      return;
    }
    bool is_whole = false;
    for (std::size_t version = 0; version < 2 && !is_whole; ++version) {
      is_whole = true;
      for (std::size_t i = 0; i < reads.size(); ++i) is_whole &= outcome.results[i] == reads[i].expected[version];
      if (is_whole) ++tally.of_version[version];
    }
    if (is_whole) return;
    ++tally.wrong;
    ADD_FAILURE() << "wrong bytes were reported as success";
  }

  // Runs one variant: a fetch begins with one version, is paused, and continues when the other one is served.
  void RunVariant(Change change, bool equal, Tally& tally) {
    const Kind kind = random_.ElementOf(kKinds);
    const int connections = static_cast<int>(random_.Between(1, 3));
    // Larger than the first request for a tensor of unknown size.
    const bool is_large = kind == Kind::kTensor && random_.OneIn(8);
    const std::int64_t lanes = is_large ? 6 : connections;
    const Versions versions = MakeVersions(lanes * kLaneBytes + random_.Between(kMib, 4 * kMib), equal);
    const std::vector<Wanted> reads = MakeReads(kind, versions);
    const std::int64_t lane_bytes = std::min(TotalBytes(reads), std::max(kLaneBytes, TotalBytes(reads) / connections));
    const server::ServerOptions options = RandomOptions(lane_bytes);
    const auto chunk_bytes = static_cast<std::int64_t>(options.stream.chunk_bytes);
    const bool in_sink = random_.OneIn(2);
    const bool deferred = kind != Kind::kFile && random_.OneIn(4);
    const bool reported = (kind == Kind::kPlan || kind == Kind::kSlice) && random_.OneIn(2);
    SCOPED_TRACE(fmt::format("variant {}: kind {}, {} connections, {} bytes, chunks of {}, io {}, paused {}{}{}",
                             tally.variants, static_cast<int>(kind), connections, TotalBytes(reads), chunk_bytes,
                             static_cast<int>(options.stream.io), in_sink ? "in a sink" : "between attempts",
                             deferred ? ", deferred" : "", reported ? ", reported" : ""));

    Replica first;
    Replica second;
    ASSERT_NO_FATAL_FAILURE(Publish(versions, 0, first));
    ASSERT_NO_FATAL_FAILURE(Publish(versions, 1, second));
    ASSERT_EQ(first.model->generation(), second.model->generation());
    ASSERT_NE(first.model->instance(), second.model->instance());
    ASSERT_NO_FATAL_FAILURE(Serve(first, options));
    if (change == Change::kOtherReplica) {
      ASSERT_NO_FATAL_FAILURE(Serve(second, options));
    }

    // The bytes that each connection brings, and at least one message.
    const std::int64_t pause_after = random_.Between(1, lane_bytes / 2);
    const std::int64_t least = chunk_bytes + kOverheadBytes + (in_sink ? pause_after + chunk_bytes : 0);
    std::vector<Fate> fates;
    for (int i = 0; i < connections; ++i) {
      const How how = in_sink ? How::kStall : random_.OneIn(4) ? How::kReset : How::kClose;
      fates.push_back({random_.Between(std::min(least, lane_bytes * 9 / 10), lane_bytes * 9 / 10), how});
    }
    auto proxy = std::make_unique<CuttingProxy>(first.server->address(), [&fates](int connection) {
      const auto index = static_cast<std::size_t>(connection);
      return index < fates.size() ? std::optional(fates[index]) : std::nullopt;
    });
    std::vector<std::string> addresses(static_cast<std::size_t>(connections), proxy->address());
    addresses.push_back((change == Change::kOtherReplica ? second : first).server->address());

    const auto change_now = [&] {
      switch (change) {
        case Change::kReplacedByRename:
          ReplaceByRename(first, second, equal);
          break;
        case Change::kOtherReplica:
          first.server.reset();
          break;
        case Change::kRestarted: {
          server::ServerOptions same = options;
          same.listen = first.server->address();
          first.server.reset();
          Serve(second, same);
          break;
        }
      }
    };

    TF_ASSERT_OK_AND_ASSIGN(
        const Client client,
        Client::Connect(addresses, {.connections = connections,
                                    .retry = {.max_attempts = 50, .initial_delay = absl::Milliseconds(1)}}));
    std::atomic<bool> changed = false;
    std::atomic<bool> resumed = false;
    FetchOptions fetch;
    fetch.on_retry = [&](const absl::Status&, absl::Duration) {
      if (!in_sink && !changed.exchange(true)) change_now();
      if (changed) resumed = true;
    };
    Pause pause(in_sink ? pause_after : std::int64_t{1} << 40);
    Outcome outcome;
    if (in_sink) {
      std::jthread fetching([&] { outcome = Fetch(client, kind, reads, deferred, reported, &pause, fetch); });
      EXPECT_TRUE(pause.Await()) << "the fetch ended before it was paused";
      changed = true;
      change_now();
      proxy.reset();
      pause.Resume();
    } else {
      outcome = Fetch(client, kind, reads, deferred, reported, nullptr, fetch);
    }
    if (resumed) ++tally.resumed;
    Judge(outcome, reads, equal, tally);
  }

  void RunVariants(Change change, bool equal, const char* what) {
    Tally tally;
    const int count = equal ? EqualVariantCount() : VariantCount();
    for (int i = 0; i < count && !HasFatalFailure(); ++i) RunVariant(change, equal, tally);
    tally.Print(what);
    EXPECT_EQ(tally.wrong, 0);
    EXPECT_EQ(tally.variants, count);
    // Otherwise the test would prove nothing.
    EXPECT_GE(tally.resumed, count * 8 / 10);
    if (equal) {
      EXPECT_EQ(tally.of_version[0], count);
    } else if (change == Change::kReplacedByRename) {
      // The server saw both files, and detected that they differ.
      EXPECT_GE(tally.aborted, count * 8 / 10);
    } else if (count >= 20) {
      // If the bytes that have arrived are equal in both files, the fetch may take the rest from the other one.
      EXPECT_GE(tally.aborted, count / 4);
    }
  }

  // Runs one variant: a fetch over several connections, which begin at two replicas.
  void RunLanesVariant(bool equal, Tally& tally) {
    const int connections = static_cast<int>(random_.Between(2, 4));
    const Kind kind = random_.OneIn(3) ? Kind::kSlice : Kind::kPlan;
    // A slice has at least a fifth of the bytes.
    const std::int64_t lanes = kind == Kind::kSlice ? 2 * connections : connections;
    const Versions versions = MakeVersions(lanes * kLaneBytes + random_.Between(kMib, 4 * kMib), equal);
    const std::vector<Wanted> reads = MakeReads(kind, versions);
    const std::int64_t lane_bytes = std::max(kLaneBytes, TotalBytes(reads) / connections);
    const server::ServerOptions options = RandomOptions(lane_bytes);
    const bool cut = random_.OneIn(2);
    SCOPED_TRACE(fmt::format("variant {}: {} reads, {} connections, {} bytes, chunks of {}, io {}{}", tally.variants,
                             reads.size(), connections, TotalBytes(reads), options.stream.chunk_bytes,
                             static_cast<int>(options.stream.io), cut ? ", cut" : ""));
    Replica first;
    Replica second;
    ASSERT_NO_FATAL_FAILURE(Publish(versions, 0, first));
    ASSERT_NO_FATAL_FAILURE(Publish(versions, 1, second));
    ASSERT_NO_FATAL_FAILURE(Serve(first, options));
    ASSERT_NO_FATAL_FAILURE(Serve(second, options));
    ASSERT_EQ(first.model->generation(), second.model->generation());

    // Some of the first two connections to each are cut.
    std::array<std::optional<Fate>, 4> fates;
    for (std::optional<Fate>& fate : fates) {
      if (cut && random_.OneIn(2)) fate = Fate{random_.Between(kOverheadBytes, lane_bytes), How::kClose};
    }
    CuttingProxy to_first(first.server->address(),
                          [&](int i) { return i < 2 ? fates[static_cast<std::size_t>(i)] : std::nullopt; });
    CuttingProxy to_second(second.server->address(),
                           [&](int i) { return i < 2 ? fates[static_cast<std::size_t>(i) + 2] : std::nullopt; });
    TF_ASSERT_OK_AND_ASSIGN(const Client client,
                            Client::Connect({to_first.address(), to_second.address()},
                                            {.connections = connections,
                                             .retry = {.max_attempts = 50, .initial_delay = absl::Milliseconds(1)}}));
    Outcome outcome;
    std::vector<Read> requested;
    for (const Wanted& wanted : reads) {
      std::string& memory = outcome.results.emplace_back(wanted.expected[0].size(), '\0');
      requested.push_back({.tensor = wanted.tensor, .slice = wanted.slice, .into = memory});
    }
    Reports reports(reads);
    FetchOptions fetch;
    fetch.timeout = kPatience;
    if (random_.OneIn(2)) {
      fetch.on_read_done = [&](std::size_t index) { reports.Add(index, outcome.results[index]); };
    }
    outcome.status = client.Fetch(kModel, requested, fetch).status();
    if (to_first.passed_bytes() >= kMib && to_second.passed_bytes() >= kMib) ++tally.resumed;
    EXPECT_TRUE(reports.ok()) << "reads of both versions were reported";
    Judge(outcome, reads, equal, tally);
  }

  void RunLanesVariants(bool equal, const char* what) {
    Tally tally;
    const int count = equal ? EqualVariantCount() : VariantCount();
    for (int i = 0; i < count && !HasFatalFailure(); ++i) RunLanesVariant(equal, tally);
    tally.Print(what);
    EXPECT_EQ(tally.wrong, 0);
    EXPECT_EQ(tally.variants, count);
    EXPECT_GE(tally.resumed, count / 2) << "the bytes came from one of the replicas";
    if (equal) {
      EXPECT_EQ(tally.of_version[0], count);
    } else if (count >= 20) {
      EXPECT_GE(tally.aborted, count / 4);
    }
  }

  test::Random random_;
  std::string pool_;
};

TEST_F(IdentityTest, FetchWhoseFileIsReplacedByOneOfEqualSampleIsOfOneVersion) {
  RunVariants(Change::kReplacedByRename, /*equal=*/false, "replaced by rename");
}

TEST_F(IdentityTest, FetchWhoseFileIsReplacedByEqualBytesSucceeds) {
  RunVariants(Change::kReplacedByRename, /*equal=*/true, "replaced by equal bytes");
}

TEST_F(IdentityTest, FetchThatMovesToAReplicaOfEqualSampleIsOfOneVersion) {
  RunVariants(Change::kOtherReplica, /*equal=*/false, "moved to another replica");
}

TEST_F(IdentityTest, FetchThatMovesToAnEqualReplicaSucceeds) {
  RunVariants(Change::kOtherReplica, /*equal=*/true, "moved to an equal replica");
}

TEST_F(IdentityTest, FetchWhoseServerIsRestartedWithAFileOfEqualSampleIsOfOneVersion) {
  RunVariants(Change::kRestarted, /*equal=*/false, "restarted with another file");
}

TEST_F(IdentityTest, FetchWhoseServerIsRestartedWithEqualBytesSucceeds) {
  RunVariants(Change::kRestarted, /*equal=*/true, "restarted with an equal file");
}

TEST_F(IdentityTest, ConnectionsThatBeginAtReplicasOfEqualSampleBringOneVersion) {
  RunLanesVariants(/*equal=*/false, "connections to two replicas");
}

TEST_F(IdentityTest, ConnectionsThatBeginAtEqualReplicasSucceed) {
  RunLanesVariants(/*equal=*/true, "connections to two equal replicas");
}

}  // namespace
}  // namespace tensorferry
