// SPDX-License-Identifier: Apache-2.0
// The client library over TLS against our server in the same process: what a client that stays sees of new files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "server/server.h"
#include "tensorferry/client.h"
#include "tests/testing/certificates.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kToken[] = "token-of-the-test";

class SecureFetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::vector<test::TensorSpec> tensors = {{"t", Dtype::kU8, {9}}};
    directory_.Write("root/m.safetensors", test::SafetensorsBytes(test::HeaderJson(tensors), "123456789"));
    Publish("server", authority_.Issue("server"));
    Publish("client", authority_.Issue("client"));
    server_.security.tls = {.certificate = directory_.Path("server.pem"),
                            .private_key = directory_.Path("server.key"),
                            .client_ca = directory_.Write("ca.pem", authority_.certificate())};
    server_.listen = "127.0.0.1:0";
    client_.tls = TlsOptions{.ca_file = directory_.Path("ca.pem"),
                             .certificate_file = directory_.Path("client.pem"),
                             .key_file = directory_.Path("client.key"),
                             .server_name = {}};
  }

  void Publish(const std::string& name, const test::IssuedCertificate& issued) {
    directory_.Write(name + ".pem", issued.certificate);
    directory_.Write(name + ".key", issued.private_key);
  }

  // Serves, again on the same port if there is one already.
  void Start() {
    const bool again = running_ != nullptr;
    if (again) server_.listen = running_->address();
    running_.reset();
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Load(directory_.Path("root")));
    TF_ASSERT_OK_AND_ASSIGN(running_, server::Server::Start(server_, catalog));
  }

  static absl::Status Fetch(const Client& client) {
    const absl::StatusOr<Tensor> tensor = client.FetchTensor("m.safetensors", "t");
    if (!tensor.ok()) return tensor.status();
    EXPECT_EQ(test::AsString(tensor->data()), "123456789");
    return absl::OkStatus();
  }

  // Fetches until that succeeds, because a client comes back to a server after a while only.
  static absl::Status FetchInTheEnd(const Client& client) {
    absl::Status status;
    for (int i = 0; i < 600; ++i) {
      status = Fetch(client);
      if (status.ok()) break;
      absl::SleepFor(absl::Milliseconds(100));
    }
    return status;
  }

  test::TempDir directory_;
  test::Authority authority_{"authority"};
  server::ServerOptions server_;
  ClientOptions client_;
  std::unique_ptr<server::Server> running_;
};

TEST_F(SecureFetchTest, ClientThatStaysShowsItsNewCertificate) {
  server_.security.allowed_clients = {"client", "new-client"};
  Start();
  TF_ASSERT_OK_AND_ASSIGN(const Client client, Client::Connect({running_->address()}, client_));
  TF_EXPECT_OK(Fetch(client));
  // From now on the server wants another one, and the connection is lost.
  Publish("client", authority_.Issue("new-client"));
  absl::SleepFor(absl::Seconds(3));
  server_.security.allowed_clients = {"new-client"};
  Start();
  TF_EXPECT_OK(FetchInTheEnd(client));
}

TEST_F(SecureFetchTest, ClientThatStaysTrustsItsNewAuthority) {
  const test::Authority other("other authority");
  client_.tls->ca_file = directory_.Write("trusted.pem", authority_.certificate());
  Start();
  TF_ASSERT_OK_AND_ASSIGN(const Client client, Client::Connect({running_->address()}, client_));
  TF_EXPECT_OK(Fetch(client));
  Publish("server", other.Issue("server"));
  directory_.Write("trusted.pem", other.certificate());
  absl::SleepFor(absl::Seconds(3));
  Start();
  TF_EXPECT_OK(FetchInTheEnd(client));
}

TEST_F(SecureFetchTest, TokenFileIsReadForEachCall) {
  server_.security.token_file = directory_.Write("tokens", std::string("me ") + kToken);
  client_.token.file = directory_.Write("token", std::string(kToken) + "\n");
  Start();
  TF_ASSERT_OK_AND_ASSIGN(const Client client, Client::Connect({running_->address()}, client_));
  TF_EXPECT_OK(Fetch(client));
  directory_.Write("token", "another-token-0000");
  EXPECT_THAT(Fetch(client), StatusIs(absl::StatusCode::kUnauthenticated,
                                      AllOf(HasSubstr("unknown bearer token"), Not(HasSubstr("another-token")))));
  // A call that has one answer fails in the same way as a stream.
  EXPECT_THAT(client.ListModels(), StatusIs(absl::StatusCode::kUnauthenticated));
  directory_.Write("token", "two words");
  EXPECT_THAT(Fetch(client), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(client_.token.file)));
  EXPECT_THAT(client.ListModels(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(client_.token.file)));
  directory_.Write("token", kToken);
  TF_EXPECT_OK(Fetch(client));
}

TEST_F(SecureFetchTest, BadOptionsAreToldAtOnce) {
  constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;
  ClientOptions options = client_;
  options.tls->key_file.clear();
  EXPECT_THAT(Client::Connect({"127.0.0.1:1"}, options), StatusIs(kInvalidArgument, HasSubstr("private key")));
  options = client_;
  options.tls->certificate_file = directory_.Path("server.pem");
  EXPECT_THAT(Client::Connect({"127.0.0.1:1"}, options), StatusIs(kInvalidArgument, HasSubstr("does not match")));
  options = client_;
  Publish("client", authority_.Issue("client", -std::chrono::hours(1)));
  EXPECT_THAT(Client::Connect({"127.0.0.1:1"}, options), StatusIs(kInvalidArgument, HasSubstr("expired")));
  for (const char* address :
       {"192.0.2.1:1", "dns:///models.example:1", "dns://127.0.0.1/localhost:1", "ipv4:127.0.0.1:1,192.0.2.1:1"}) {
    EXPECT_THAT(Client::Connect({address}, {.token = {.token = kToken}}),
                StatusIs(kInvalidArgument, AllOf(HasSubstr("plaintext"), Not(HasSubstr(kToken)))))
        << address;
  }
  EXPECT_THAT(Client::Connect({"127.0.0.1:1"}, {.token = {.token = "line\nbreak"}}),
              StatusIs(kInvalidArgument, HasSubstr("one word")));
  EXPECT_THAT(Client::Connect({"127.0.0.1:1"}, {.token = {.token = kToken, .file = "file"}}),
              StatusIs(kInvalidArgument, HasSubstr("both")));
}

}  // namespace
}  // namespace tensorferry
