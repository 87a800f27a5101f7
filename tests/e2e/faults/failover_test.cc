// SPDX-License-Identifier: Apache-2.0
// Fetches from several servers in the same process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/server.h"
#include "tensorferry/client.h"
#include "tests/testing/cutting_proxy.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr std::int64_t kBytes = 32 << 20;

// A server with its own directory.
struct Replica {
  test::TempDir directory;
  std::unique_ptr<server::Server> server;
};

class FailoverTest : public ::testing::Test {
 protected:
  // Serves a model "m.safetensors" whose one tensor "t" holds `data`.
  void Serve(Replica& replica, const std::string& data) {
    const std::vector<test::TensorSpec> tensors = {{"t", Dtype::kU8, {kBytes}}};
    replica.directory.Write("m.safetensors", test::SafetensorsBytes(test::HeaderJson(tensors), data));
    ServeWhatIsThere(replica);
  }
  void ServeWhatIsThere(Replica& replica) {
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Load(replica.directory.path()));
    server::ServerOptions options;
    options.listen = "127.0.0.1:0";
    TF_ASSERT_OK_AND_ASSIGN(replica.server, server::Server::Start(options, catalog));
  }

  // Fetches "t" from two servers, the first of which stops during the fetch.
  absl::StatusOr<Tensor> FetchWhileTheFirstGoesAway(Replica& first, const Replica& second) {
    const absl::StatusOr<Client> client =
        Client::Connect({first.server->address(), second.server->address()}, {.connections = 1});
    if (!client.ok()) return client.status();
    FetchOptions options;
    options.on_progress = [&](const Progress& progress) {
      if (progress.bytes_done > kBytes / 4) first.server.reset();
    };
    return client->FetchTensor("m.safetensors", "t", std::nullopt, options);
  }

  test::Random random_;
  const std::string data_ = random_.Bytes(kBytes);
  Replica a_;
  Replica b_;
};

TEST_F(FailoverTest, ReadResumesAtTheNextServer) {
  Serve(a_, data_);
  Serve(b_, data_);
  const absl::StatusOr<Tensor> tensor = FetchWhileTheFirstGoesAway(a_, b_);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_TRUE(test::AsString(tensor->data()) == data_);
  EXPECT_EQ(a_.server, nullptr);
}

TEST_F(FailoverTest, ServerWithOtherBytesOfTheSameShapeIsAborted) {
  std::string other = data_;
  other.back() = static_cast<char>(other.back() + 1);
  Serve(a_, data_);
  Serve(b_, other);
  EXPECT_THAT(FetchWhileTheFirstGoesAway(a_, b_),
              StatusIs(absl::StatusCode::kAborted, HasSubstr(b_.server->address())));
}

TEST_F(FailoverTest, ServerThatCannotServeTheModelIsAborted) {
  Serve(a_, data_);
  ServeWhatIsThere(b_);
  EXPECT_THAT(FetchWhileTheFirstGoesAway(a_, b_), StatusIs(absl::StatusCode::kAborted, HasSubstr("m.safetensors")));
  Serve(a_, data_);
  b_.directory.Write("m.safetensors", "bad");
  ServeWhatIsThere(b_);
  EXPECT_THAT(FetchWhileTheFirstGoesAway(a_, b_), StatusIs(absl::StatusCode::kAborted, HasSubstr("m.safetensors")));
}

TEST_F(FailoverTest, ConnectTakesTheFirstThatAnswers) {
  Serve(a_, data_);
  Serve(b_, data_);
  const std::string dead = b_.server->address();
  b_.server.reset();
  TF_ASSERT_OK_AND_ASSIGN(const Client client, Client::Connect({dead, a_.server->address()}));
  TF_EXPECT_OK(client.ListModels());
  const std::string address = a_.server->address();
  a_.server.reset();
  EXPECT_THAT(Client::Connect({dead, address}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address)));
  for (const char* other : {"http://127.0.0.1:7071", "https://a:1"}) {
    EXPECT_THAT(Client::Connect({other}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tensorferry://host:port")));
  }
  EXPECT_THAT(Client::Connect({}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no address")));
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{""}, {"a:1", "", "b:2"}, {"a:1", ""}}) {
    EXPECT_THAT(Client::Connect(wrong), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("address is empty")));
  }
}

TEST_F(FailoverTest, ConnectionsBeginWithDifferentServers) {
  Serve(a_, data_);
  Serve(b_, data_);
  const auto live = [](int) { return std::nullopt; };
  test::CuttingProxy to_a(a_.server->address(), live);
  test::CuttingProxy to_b(b_.server->address(), live);
  TF_ASSERT_OK_AND_ASSIGN(const Client client, Client::Connect({to_a.address(), to_b.address()}, {.connections = 4}));
  std::string memory(kBytes, '\0');
  const Read read{.tensor = "t", .into = memory};
  TF_ASSERT_OK(client.Fetch("m.safetensors", std::span(&read, 1)));
  EXPECT_TRUE(memory == data_);
  EXPECT_GE(to_a.passed_bytes(), kBytes / 2);
  EXPECT_GE(to_b.passed_bytes(), kBytes / 2);
}

TEST_F(FailoverTest, ConnectionsToServersWithOtherBytesNeverMix) {
  Serve(a_, data_);
  Serve(b_, std::string(kBytes, 'b'));
  TF_ASSERT_OK_AND_ASSIGN(const Client client,
                          Client::Connect({a_.server->address(), b_.server->address()}, {.connections = 2}));
  EXPECT_THAT(client.FetchTensor("m.safetensors", "t"), StatusIs(absl::StatusCode::kAborted));
}

}  // namespace
}  // namespace tensorferry
