// SPDX-License-Identifier: Apache-2.0
// The client against a server with every kind of fault: the result is the right bytes or an error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tensorferry/client.h"
#include "tests/testing/fault_server.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::Fault;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kChunkBytes = 1000;
constexpr std::int64_t kBytes = 7 * kChunkBytes + 300;

constexpr Fault kAllFaults[] = {
    Fault::kNone,       Fault::kUnavailable, Fault::kExhausted,  Fault::kBreakAfterHeader, Fault::kBreak,
    Fault::kCancel,     Fault::kFlippedByte, Fault::kOtherShape, Fault::kOtherGeneration,  Fault::kEarlyOk,
    Fault::kDuplicate,  Fault::kGap,         Fault::kOversize,   Fault::kHugeMessage,      Fault::kExtra,
    Fault::kBreakAtEnd, Fault::kNotFound,    Fault::kNoChecksum, Fault::kOtherInstance,    Fault::kOtherBytes,
};

bool IsOneOf(Fault fault, std::initializer_list<Fault> faults) {
  return std::ranges::find(faults, fault) != faults.end();
}

// Returns the bytes that a stream with this fault brings before it fails, if `left` bytes are missing.
std::int64_t BytesBefore(Fault fault, std::int64_t left) {
  // Bytes that arrived before must be compared first, which ends the stream.
  if (left < kBytes && IsOneOf(fault, {Fault::kOtherInstance, Fault::kOtherBytes})) return 0;
  switch (fault) {
    case Fault::kUnavailable:
    case Fault::kExhausted:
    case Fault::kBreakAfterHeader:
    case Fault::kOtherGeneration:
    case Fault::kOtherShape:
    case Fault::kNotFound:
      return 0;
    case Fault::kNone:
    case Fault::kExtra:
    case Fault::kBreakAtEnd:
    case Fault::kOtherInstance:
    case Fault::kOtherBytes:
      return left;
    case Fault::kOversize:
      return (left - 1) / kChunkBytes * kChunkBytes;
    default:
      return std::min(left, 2 * kChunkBytes);
  }
}

class ResumeTest : public ::testing::Test {
 protected:
  // Returns the bytes of a server with this fault.
  std::string BytesUnder(Fault fault) const {
    if (fault == Fault::kOtherGeneration) return std::string(kBytes, '2');
    std::string bytes = bytes_;
    if (fault == Fault::kOtherBytes) bytes[0] = static_cast<char>(bytes[0] ^ 1);
    return bytes;
  }

  Client Connect(RetryOptions retry = {.initial_delay = absl::ZeroDuration()}) {
    absl::StatusOr<Client> client = Client::Connect({server_.address()}, {.retry = retry});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  std::vector<std::int64_t> Offsets() const {
    std::vector<std::int64_t> offsets;
    for (const v1::GetTensorsRequest& request : server_.requests()) offsets.push_back(request.reads(0).read_offset());
    return offsets;
  }

  test::Random random_;
  const std::string bytes_ = random_.Bytes(kBytes);
  test::FaultServer server_{bytes_, kChunkBytes};
};

TEST_F(ResumeTest, ResumesAtTheFirstMissingByteOfTheSameGeneration) {
  server_.SetFaults({Fault::kBreak, Fault::kUnavailable, Fault::kBreak});
  std::vector<absl::Status> retries;
  FetchOptions options;
  options.on_retry = [&](const absl::Status& status, absl::Duration) { retries.push_back(status); };
  TF_ASSERT_OK_AND_ASSIGN(const Tensor tensor, Connect().FetchTensor("m", "t", std::nullopt, options));
  EXPECT_EQ(test::AsString(tensor.data()), bytes_);
  EXPECT_THAT(Offsets(), ElementsAre(0, 2000, 2000, 4000));
  const auto requests = server_.requests();
  EXPECT_EQ(requests[0].generation(), "");
  for (std::size_t i = 1; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].generation(), "g1");
    EXPECT_EQ(requests[i].reads(0).read_offset() + requests[i].reads(0).read_limit(), kBytes);
  }
  ASSERT_EQ(retries.size(), 3U);
  for (const absl::Status& status : retries) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr(server_.address())));
  }
}

TEST_F(ResumeTest, EveryTwoFaultsInARowGiveTheRightBytesOrAnError) {
  const Client client = Connect();
  int right = 0;
  for (const Fault first : kAllFaults) {
    for (const Fault second : kAllFaults) {
      SCOPED_TRACE(::testing::PrintToString(first) + ", then " + ::testing::PrintToString(second));
      server_.SetFaults({first, second});
      Progress last;
      FetchOptions options;
      options.on_progress = [&](const Progress& progress) {
        EXPECT_GE(progress.bytes_done, last.bytes_done);
        EXPECT_LE(progress.bytes_done, kBytes);
        last = progress;
      };
      const absl::StatusOr<Tensor> tensor = client.FetchTensor("m", "t", std::nullopt, options);
      const std::vector<std::int64_t> offsets = Offsets();
      // No byte of a complete chunk is requested again.
      std::int64_t missing = 0;
      const Fault faults[] = {first, second};
      for (std::size_t i = 1; i < offsets.size() && i <= 2; ++i) {
        missing += BytesBefore(faults[i - 1], kBytes - missing);
        EXPECT_EQ(offsets[i], missing);
      }

      const bool refused = first == Fault::kUnavailable || first == Fault::kExhausted;
      const bool second_is_used = !IsOneOf(first, {Fault::kNone, Fault::kOtherShape, Fault::kOtherGeneration,
                                                   Fault::kOtherInstance, Fault::kOtherBytes});
      // Under the same generation, other bytes are detected only if bytes have arrived before.
      const bool differs = second == Fault::kOtherBytes && missing > 0;
      const bool second_has_other_bytes = second == Fault::kOtherGeneration || second == Fault::kNotFound || differs;
      if (first == Fault::kNotFound || (refused && second == Fault::kNotFound)) {
        EXPECT_THAT(tensor, StatusIs(absl::StatusCode::kNotFound));
      } else if (second_is_used && second_has_other_bytes && !refused) {
        EXPECT_THAT(tensor, StatusIs(absl::StatusCode::kAborted, HasSubstr(server_.address())));
      } else {
        ASSERT_TRUE(tensor.ok()) << tensor.status();
        // All bytes of another generation are right, too.
        const bool first_answers = BytesBefore(first, kBytes) > 0 || first == Fault::kOtherGeneration;
        EXPECT_EQ(test::AsString(tensor->data()), BytesUnder(first_answers || !second_is_used ? first : second));
        EXPECT_EQ(last.bytes_done, kBytes);
        ++right;
      }
    }
  }
  EXPECT_GT(right, 200);
}

TEST_F(ResumeTest, ServerWithPermanentFaultsIsGivenUp) {
  for (const Fault fault : kAllFaults) {
    if (fault == Fault::kOtherGeneration || fault == Fault::kOtherBytes) continue;
    SCOPED_TRACE(::testing::PrintToString(fault));
    server_.SetFaults(std::vector(100, fault));
    const Client client = Connect({.max_attempts = 8, .initial_delay = absl::ZeroDuration()});
    // With some faults, each stream brings two more chunks, so that the fetch succeeds.
    const absl::StatusOr<Tensor> tensor = client.FetchTensor("m", "t");
    if (tensor.ok()) {
      EXPECT_EQ(test::AsString(tensor->data()), bytes_);
    } else {
      EXPECT_LE(server_.requests().size(), 16U);
    }
  }
}

TEST_F(ResumeTest, BytesOfAStreamWithoutItsEndAreConfirmedByAnotherRequest) {
  server_.SetFaults({Fault::kBreakAtEnd, Fault::kUnavailable});
  TF_ASSERT_OK_AND_ASSIGN(const Tensor tensor, Connect().FetchTensor("m", "t"));
  EXPECT_EQ(test::AsString(tensor.data()), bytes_);
  EXPECT_THAT(Offsets(), ElementsAre(0, kBytes, kBytes));
  // If the model is another one by then, the bytes that have arrived must not be used.
  server_.SetFaults({Fault::kBreakAtEnd, Fault::kOtherGeneration});
  EXPECT_THAT(Connect().FetchTensor("m", "t"), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(ResumeTest, BytesOfTwoOpeningsAreComparedBeforeTheyAreCombined) {
  server_.SetFaults({Fault::kBreak, Fault::kOtherInstance});
  TF_ASSERT_OK_AND_ASSIGN(const Tensor tensor, Connect().FetchTensor("m", "t"));
  EXPECT_EQ(test::AsString(tensor.data()), bytes_);
  EXPECT_EQ(server_.comparisons(), 1);
  EXPECT_THAT(Offsets(), ElementsAre(0, 2000, 2000));

  server_.SetFaults({Fault::kBreak, Fault::kOtherBytes});
  EXPECT_THAT(Connect().FetchTensor("m", "t"), StatusIs(absl::StatusCode::kAborted, HasSubstr("other bytes")));
  EXPECT_EQ(server_.comparisons(), 1);

  server_.SetFaults({Fault::kBreak, Fault::kBreak});
  TF_ASSERT_OK(Connect().FetchTensor("m", "t"));
  EXPECT_EQ(server_.comparisons(), 0) << "there is nothing to compare within one opening";
}

TEST_F(ResumeTest, ErrorsNameServerAndAttemptsForPrograms) {
  server_.SetFaults(std::vector(100, Fault::kUnavailable));
  const absl::Status given_up =
      Connect({.max_attempts = 3, .initial_delay = absl::ZeroDuration()}).FetchTensor("m", "t").status();
  std::optional<ErrorDetails> details = ErrorDetailsOf(given_up);
  ASSERT_TRUE(details) << given_up;
  EXPECT_EQ(details->server, server_.address());
  EXPECT_EQ(details->attempts, 3);
  EXPECT_TRUE(details->may_be_temporary);

  server_.SetFaults({Fault::kNotFound});
  const absl::Status not_found = Connect().FetchTensor("m", "t").status();
  details = ErrorDetailsOf(not_found);
  ASSERT_TRUE(details) << not_found;
  EXPECT_EQ(details->server, server_.address());
  EXPECT_EQ(details->attempts, 1);
  EXPECT_FALSE(details->may_be_temporary);
  EXPECT_FALSE(ErrorDetailsOf(absl::OkStatus()));
  EXPECT_FALSE(ErrorDetailsOf(absl::UnknownError("not ours")));
}

TEST_F(ResumeTest, WithoutRetryTheFirstFailureEndsTheCall) {
  server_.SetFaults({Fault::kBreak});
  EXPECT_THAT(Connect({.max_attempts = 1}).FetchTensor("m", "t"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("broken on purpose")));
  EXPECT_EQ(Offsets().size(), 1U);
}

TEST_F(ResumeTest, AttemptsWithoutProgressAreCounted) {
  server_.SetFaults(std::vector(100, Fault::kBreakAfterHeader));
  EXPECT_THAT(Connect({.max_attempts = 5, .initial_delay = absl::ZeroDuration()}).FetchTensor("m", "t"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("after 5 attempts")));
  EXPECT_EQ(Offsets().size(), 5U);
}

TEST_F(ResumeTest, StallEndsAtTheDeadlineWithTheProgress) {
  server_.SetFaults({Fault::kStall});
  FetchOptions options;
  options.timeout = absl::Milliseconds(500);
  const absl::Time begin = absl::Now();
  EXPECT_THAT(Connect().FetchTensor("m", "t", std::nullopt, options),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("timed out after 500 ms with 2.00 kB of 7.30 kB (server")));
  EXPECT_LT(absl::Now() - begin, absl::Milliseconds(2500));
}

// The remaining pairs: a stall lasts until the end of the call, so that no other fault can follow it.
TEST_F(ResumeTest, StallAfterEveryFaultEndsAtTheDeadlineOrIsNeverReached) {
  const Client client = Connect();
  int stalls = 0;
  for (const Fault first : kAllFaults) {
    SCOPED_TRACE(::testing::PrintToString(first));
    server_.SetFaults({first, Fault::kStall});
    FetchOptions options;
    options.timeout = absl::Milliseconds(500);
    const absl::Time begin = absl::Now();
    const absl::StatusOr<Tensor> tensor = client.FetchTensor("m", "t", std::nullopt, options);
    EXPECT_LT(absl::Now() - begin, absl::Milliseconds(2500));
    if (tensor.ok()) {
      EXPECT_EQ(test::AsString(tensor->data()), BytesUnder(first));
      // The last two chunks arrive before the stall.
      if (Offsets().size() == 2) {
        EXPECT_LE(kBytes - Offsets()[1], 2 * kChunkBytes);
      }
    } else if (first == Fault::kNotFound) {
      EXPECT_THAT(tensor, StatusIs(absl::StatusCode::kNotFound));
    } else {
      EXPECT_THAT(tensor, StatusIs(absl::StatusCode::kDeadlineExceeded));
      ++stalls;
    }
  }
  EXPECT_GE(stalls, 9);
}

TEST_F(ResumeTest, DeadlineAndStopEndTheDelayBeforeARetry) {
  const Client client = Connect({.initial_delay = absl::Hours(1000), .max_delay = absl::Hours(1000)});
  server_.SetFaults({Fault::kBreak, Fault::kBreak});
  FetchOptions options;
  options.timeout = absl::Milliseconds(300);
  absl::Time begin = absl::Now();
  EXPECT_THAT(client.FetchTensor("m", "t", std::nullopt, options),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr("timed out after 300 ms"), HasSubstr("broken on purpose"))));
  EXPECT_LT(absl::Now() - begin, absl::Milliseconds(2300));

  std::stop_source stop;
  options = {};
  options.stop_token = stop.get_token();
  std::jthread stopper;
  options.on_retry = [&](const absl::Status&, absl::Duration) { stopper = std::jthread([&] { stop.request_stop(); }); };
  begin = absl::Now();
  EXPECT_THAT(client.FetchTensor("m", "t", std::nullopt, options), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(30));
}

TEST_F(ResumeTest, ProxyVariablesHaveNoEffectUnlessEnabled) {
  // Port 9 is for discarded data, if anything listens there.
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) ::setenv(name, "http://127.0.0.1:9", 1);
  ClientOptions options{.connect_timeout = absl::Seconds(5)};
  const absl::StatusOr<Client> direct = Client::Connect({server_.address()}, options);
  options.proxy_from_environment = true;
  const absl::StatusOr<Client> through_proxy = Client::Connect({server_.address()}, options);
  options.token.token = "a-token";
  const absl::StatusOr<Client> with_token = Client::Connect({server_.address()}, options);
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) ::unsetenv(name);
  TF_EXPECT_OK(direct.status());
  EXPECT_THAT(through_proxy, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(with_token, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("through a proxy")));
}

// Fails like a full disk, with a code that is retried if it comes from a server.
class FullSink final : public Sink {
 public:
  std::int64_t size_bytes() const override { return kBytes; }
  absl::Status Write(std::int64_t, std::span<const std::byte>) override {
    return absl::ResourceExhaustedError("No space left on device");
  }
  absl::Status Finish() override { return absl::OkStatus(); }
};

TEST_F(ResumeTest, ErrorOfADestinationIsNotRetried) {
  FullSink sink;
  const Read read{.tensor = "t", .into = &sink};
  EXPECT_THAT(Connect().Fetch("m", std::span(&read, 1)),
              StatusIs(absl::StatusCode::kResourceExhausted, "No space left on device"));
  EXPECT_EQ(Offsets().size(), 1U);
}

}  // namespace
}  // namespace tensorferry
