// SPDX-License-Identifier: Apache-2.0
// The client library with our server in the same process, over a real socket.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/server.h"
#include "tensorferry/client.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::int64_t kLargeBytes = 48 << 20;

class FetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<test::TensorSpec> tensors = {{"large", Dtype::kU8, {kLargeBytes}},
                                             {"empty", Dtype::kF32, {0, 3}},
                                             {"scalar", Dtype::kF64, {}},
                                             {"matrix", Dtype::kI32, {64, 100}}};
    for (int i = 0; i < 300; ++i) tensors.push_back({"small." + std::to_string(i), Dtype::kU16, {i}});
    std::int64_t size = 0;
    for (const test::TensorSpec& tensor : tensors) size += test::SizeBytes(tensor);
    std::string data(static_cast<std::size_t>(size), '\0');
    for (std::size_t i = 0; i + 8 <= data.size(); i += 8) {
      const std::uint64_t value = random_.generator()();
      data.replace(i, 8, reinterpret_cast<const char*>(&value), 8);
    }
    path_ = directory_.Write("m.safetensors", test::SafetensorsBytes(test::HeaderJson(tensors), data));
    Restart();
  }

  // Restarts the server with the current root, at the same address.
  void Restart(const std::string& listen = "127.0.0.1:0") {
    server_.reset();
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Load(directory_.path()));
    TF_ASSERT_OK_AND_ASSIGN(model_, catalog->Find("m.safetensors"));
    server::ServerOptions options;
    options.listen = listen;
    TF_ASSERT_OK_AND_ASSIGN(server_, server::Server::Start(options, catalog));
  }

  Client Connect(int connections = 1, const RetryOptions& retry = {}) {
    absl::StatusOr<Client> client = Client::Connect({server_->address()}, {.connections = connections, .retry = retry});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  std::string Expected(const std::string& tensor) const {
    const Model::TensorRef found = model_->tensor(*model_->Find(tensor));
    return test::AsString(found.file->tensors->data(found.view));
  }

  test::Random random_;
  test::TempDir directory_;
  std::string path_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<server::Server> server_;
};

TEST_F(FetchTest, EveryTensorArrivesAtAnyAlignmentOverAnyNumberOfConnections) {
  for (const int connections : {1, 2, 5}) {
    const Client client = Connect(connections);
    std::deque<std::string> memory;
    std::vector<Read> reads;
    for (std::size_t i = 0; i < model_->tensor_count(); ++i) {
      const safetensors::TensorView tensor = model_->tensor(i).view;
      const std::size_t shift = random_.Below(64);
      std::string& bytes = memory.emplace_back(static_cast<std::size_t>(tensor.size_bytes()) + shift, '\0');
      reads.push_back({.tensor = std::string(tensor.name), .into = std::span(bytes).subspan(shift)});
    }
    std::shuffle(reads.begin(), reads.end(), random_.generator());
    Progress last;
    FetchOptions options;
    options.on_progress = [&last](const Progress& progress) {
      EXPECT_GE(progress.bytes_done, last.bytes_done);
      last = progress;
    };
    TF_ASSERT_OK_AND_ASSIGN(const FetchResult result, client.Fetch("m.safetensors", reads, options));
    EXPECT_EQ(result.generation, model_->generation());
    EXPECT_EQ(last.bytes_done, model_->size_bytes());
    EXPECT_EQ(last.bytes_total, model_->size_bytes());
    for (std::size_t i = 0; i < model_->tensor_count(); ++i) {
      const std::string name(model_->tensor(i).view.name);
      const std::size_t size = Expected(name).size();
      EXPECT_EQ(memory[i].substr(memory[i].size() - size), Expected(name)) << name;
    }
    for (std::size_t i = 0; i < reads.size(); ++i) EXPECT_EQ(result.reads[i].name, reads[i].tensor);
  }
}

TEST_F(FetchTest, ConvenienceCallsAllocate) {
  const Client client = Connect();
  TF_ASSERT_OK_AND_ASSIGN(const Tensor matrix, client.FetchTensor("m.safetensors", "matrix"));
  EXPECT_EQ(test::AsString(matrix.data()), Expected("matrix"));
  EXPECT_EQ(matrix.dtype(), Dtype::kI32);
  TF_ASSERT_OK_AND_ASSIGN(const Tensor row,
                          client.FetchTensor("m.safetensors", "matrix", SliceSpec{.dimensions = {Index{-1}}}));
  EXPECT_EQ(test::AsString(row.data()), Expected("matrix").substr(63 * 400));
  EXPECT_EQ(row.shape(), std::vector<std::int64_t>{100});
  TF_ASSERT_OK_AND_ASSIGN(const Tensor scalar, client.FetchTensor("m.safetensors", "scalar"));
  EXPECT_TRUE(scalar.shape().empty());
  TF_ASSERT_OK_AND_ASSIGN(const Tensor empty, client.FetchTensor("m.safetensors", "empty"));
  EXPECT_TRUE(empty.data().empty());
}

TEST_F(FetchTest, ListsAndMetadataAgreeWithTheFile) {
  const Client client = Connect();
  TF_ASSERT_OK_AND_ASSIGN(const auto models, client.ListModels());
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[0].name, ".");
  EXPECT_EQ(models[1].generation, model_->generation());
  TF_ASSERT_OK_AND_ASSIGN(const auto tensors, client.ListTensors("m.safetensors"));
  EXPECT_EQ(tensors.size(), model_->tensor_count());
  TF_ASSERT_OK_AND_ASSIGN(const auto some, client.ListTensors("m.safetensors", {.prefix = "small.", .glob = "*.1?"}));
  EXPECT_EQ(some.size(), 10U);
  TF_ASSERT_OK_AND_ASSIGN(const ModelMetadata metadata, client.GetMetadata("m.safetensors"));
  EXPECT_EQ(metadata.model.size_bytes, model_->size_bytes());
  ASSERT_EQ(metadata.files.size(), 1U);
  EXPECT_EQ(metadata.files[0].name, "m.safetensors");
}

TEST_F(FetchTest, ErrorsNameTheirObject) {
  const Client client = Connect();
  EXPECT_THAT(client.FetchTensor("nope", "matrix"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"nope\"")));
  EXPECT_THAT(client.FetchTensor("m.safetensors", "nope"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"nope\"")));
  EXPECT_THAT(client.FetchTensor("m.safetensors", "matrix", SliceSpec{.dimensions = {Index{64}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("index 64 is out of bounds for size 64")));
  EXPECT_THAT(client.FetchTensor("m.safetensors", "matrix", std::nullopt, {.generation = "old"}),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("\"old\"")));
  std::string memory(10, '\0');
  const Read read{.tensor = "matrix", .into = memory};
  EXPECT_THAT(client.Fetch("m.safetensors", std::span(&read, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"matrix\" has 10 bytes, the result 25600")));
}

TEST_F(FetchTest, StopRequestedInTheMiddleCancels) {
  const Client client = Connect();
  std::stop_source stop;
  FetchOptions options;
  options.stop_token = stop.get_token();
  options.on_progress = [&](const Progress&) { stop.request_stop(); };
  EXPECT_THAT(client.FetchTensor("m.safetensors", "large", std::nullopt, options),
              StatusIs(absl::StatusCode::kCancelled));
  TF_EXPECT_OK(client.FetchTensor("m.safetensors", "large"));
}

TEST_F(FetchTest, DeadlinePassedInTheMiddleIsDeadlineExceeded) {
  const Client client = Connect();
  FetchOptions options;
  options.timeout = absl::Milliseconds(300);
  // The caller is slow, so that flow control stops the server and the deadline ends the call.
  options.on_progress = [&](const Progress&) { absl::SleepFor(absl::Milliseconds(50)); };
  EXPECT_THAT(client.FetchTensor("m.safetensors", "large", std::nullopt, options),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("timed out after 300 ms with ")));
  options.timeout = absl::ZeroDuration();
  EXPECT_THAT(client.FetchTensor("m.safetensors", "matrix", std::nullopt, options),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("timed out after 0 s")));
  EXPECT_THAT(client.ListModels({.timeout = absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("timed out after 0 s")));
}

TEST_F(FetchTest, ServerThatStoppedIsUnavailable) {
  const std::string address = server_->address();
  const Client client = Connect(1, {.max_attempts = 3});
  server_.reset();
  EXPECT_THAT(client.FetchTensor("m.safetensors", "matrix"),
              StatusIs(absl::StatusCode::kUnavailable, AllOf(HasSubstr(address), HasSubstr("after 3 attempts"))));
  EXPECT_THAT(Client::Connect({address}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address)));
  for (const int connections : {-1, 65}) {
    EXPECT_THAT(Client::Connect({"127.0.0.1:1"}, {.connections = connections}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("connections")));
  }
}

TEST_F(FetchTest, ServerThatComesBackIsUsedAtOnceAfterHoweverManyFailures) {
  const std::string address = server_->address();
  const Client client = Connect(1, {.max_attempts = 1});
  server_.reset();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(client.ListModels().ok());
  EXPECT_FALSE(client.FetchTensor("m.safetensors", "matrix").ok());
  Restart(address);
  TF_EXPECT_OK(client.FetchTensor("m.safetensors", "matrix"));
}

TEST_F(FetchTest, ServerThatStopsDuringAFetchIsAnError) {
  const Client client = Connect(1, {.max_attempts = 2});
  std::atomic<bool> begun = false;
  FetchOptions options;
  options.on_progress = [&](const Progress&) {
    if (!begun.exchange(true)) server_.reset();
  };
  EXPECT_FALSE(client.FetchTensor("m.safetensors", "large", std::nullopt, options).ok());
}

TEST_F(FetchTest, FileOverwrittenWhileItIsStreamedIsAborted) {
  const Client client = Connect();
  std::atomic<bool> changed = false;
  FetchOptions options;
  options.on_progress = [&](const Progress&) {
    if (changed.exchange(true)) return;
    const int fd = ::open(path_.c_str(), O_WRONLY);
    EXPECT_EQ(::pwrite(fd, "changed", 7, model_->files()[0].file->size_bytes() - 100), 7);
    ::close(fd);
  };
  EXPECT_THAT(client.FetchTensor("m.safetensors", "large", std::nullopt, options),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("changed while it was served")));
}

TEST_F(FetchTest, ReplacedFileIsAbortedIfTheOldGenerationIsRequired) {
  const std::string old_generation = model_->generation();
  std::string bytes = directory_.Read("m.safetensors");
  bytes.back() = static_cast<char>(bytes.back() + 1);
  directory_.Write("new", bytes);
  ASSERT_EQ(::rename(directory_.Path("new").c_str(), path_.c_str()), 0);
  Restart();
  ASSERT_NE(model_->generation(), old_generation);
  EXPECT_THAT(Connect().FetchTensor("m.safetensors", "matrix", std::nullopt, {.generation = old_generation}),
              StatusIs(absl::StatusCode::kAborted));
}

TEST_F(FetchTest, RangeOfAFileArrivesUnlessItsDigestIsWrong) {
  const Client client = Connect();
  TF_ASSERT_OK_AND_ASSIGN(const ModelMetadata metadata, client.GetMetadata("m.safetensors"));
  std::string memory(1000, '\0');
  TF_ASSERT_OK(client.FetchFile("m.safetensors", "m.safetensors", metadata.files[0].digest, 12345, memory));
  EXPECT_EQ(memory, directory_.Read("m.safetensors").substr(12345, 1000));
  EXPECT_THAT(client.FetchFile("m.safetensors", "m.safetensors", "other", 0, memory),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(client.FetchFile("m.safetensors", "m.safetensors", "", metadata.files[0].size_bytes - 10, memory),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FetchTest, EmptyRangeOfAFileIsFetched) {
  const Client client = Connect();
  TF_ASSERT_OK_AND_ASSIGN(const ModelMetadata metadata, client.GetMetadata("m.safetensors"));
  const FileInfo& file = metadata.files[0];
  const std::span<std::byte> nothing;
  for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{12345}, file.size_bytes}) {
    TF_EXPECT_OK(client.FetchFile("m.safetensors", file.name, file.digest, offset, nothing));
  }
  EXPECT_THAT(client.FetchFile("m.safetensors", file.name, "", -1, nothing),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client.FetchFile("m.safetensors", file.name, "", file.size_bytes + 1, nothing),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(client.FetchFile("m.safetensors", file.name, "other", 0, nothing), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(client.FetchFile("m.safetensors", "other", "", 0, nothing), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FetchTest, ManyThreadsShareOneClient) {
  const Client client = Connect(2);
  std::vector<std::jthread> threads;
  std::atomic<int> exact = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string name = "small." + std::to_string(t * 30 + i);
        const absl::StatusOr<Tensor> tensor = client.FetchTensor("m.safetensors", name);
        if (tensor.ok() && test::AsString(tensor->data()) == Expected(name)) ++exact;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(exact, 8 * 20);
}

TEST_F(FetchTest, EndedStreamsReleaseTheirBytes) {
  {
    const Client client = Connect();
    for (int i = 0; i < 10; ++i) TF_ASSERT_OK(client.FetchTensor("m.safetensors", "matrix"));
  }
  for (int i = 0; i < 1000 && server_->active_streams() > 0; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(server_->active_streams(), 0);
}

}  // namespace
}  // namespace tensorferry
