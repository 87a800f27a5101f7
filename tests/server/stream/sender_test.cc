// SPDX-License-Identifier: Apache-2.0
// A sender with a call that the test drives: every event in every state.
#include "server/stream/sender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/files/block_cache.h"
#include "lib/sync/mutex.h"
#include "lib/wire/chunk_decoder.h"
#include "tests/server/stream/message_maker_fixture.h"

namespace tensorferry::server {
namespace {

using std::chrono::seconds;
using test::StatusIs;
using ::testing::HasSubstr;

constexpr std::int64_t kMiB = 1 << 20;

// A call without gRPC. It holds all messages until the test releases them. The test is the thread that gRPC's events
// come from.
class FakeCall final : public StreamWriter {
 public:
  void set_reactor(Reactor* reactor) override {
    reactor_ = reactor;
    if (ends_at_once) dynamic_cast<Sender&>(*reactor).End(absl::UnavailableError("going away"));
  }

  void StartWrite(const grpc::ByteBuffer& message, grpc::WriteOptions) override {
    const MutexLock lock(&mutex_);
    EXPECT_FALSE(is_writing_) << "two writes at once";
    EXPECT_FALSE(status_) << "a write after the end";
    is_writing_ = true;
    Keep(message);
  }
  void WriteAndFinish(const grpc::ByteBuffer& message) override {
    const MutexLock lock(&mutex_);
    EXPECT_FALSE(is_writing_ || status_) << "a second end, or one during a write";
    status_ = grpc::Status::OK;
    is_answered_ = true;
    ended_.SignalAll();
    Keep(message);
  }
  void Finish(const grpc::Status& status) override {
    const MutexLock lock(&mutex_);
    EXPECT_FALSE(is_writing_ || status_) << "a second end, or one during a write";
    status_ = status;
    ended_.SignalAll();
  }
  void TryCancel() override {
    const MutexLock lock(&mutex_);
    ++cancellations_;
  }
  bool IsCancelled() const override { return is_cancelled; }

  Reactor& reactor() { return *reactor_; }

  // Completes the write in flight.
  void CompleteWrite(bool ok = true) {
    {
      const MutexLock lock(&mutex_);
      ASSERT_TRUE(is_writing_);
      is_writing_ = false;
    }
    reactor_->OnWriteDone(ok);
  }
  // Waits for the end. Returns the status.
  grpc::Status AwaitEnd() {
    const MutexLock lock(&mutex_);
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (!status_ && absl::Now() < deadline) ended_.WaitWithTimeout(&mutex_, deadline - absl::Now());
    EXPECT_TRUE(status_.has_value());
    return status_.value_or(grpc::Status(grpc::StatusCode::UNKNOWN, "it never ended"));
  }
  bool has_ended() const {
    const MutexLock lock(&mutex_);
    return status_.has_value();
  }
  bool is_answered() const {
    const MutexLock lock(&mutex_);
    return is_answered_;
  }
  bool is_writing() const {
    const MutexLock lock(&mutex_);
    return is_writing_;
  }
  int cancellations() const {
    const MutexLock lock(&mutex_);
    return cancellations_;
  }
  // Releases the data of the messages that are held: of those from `begin` on, at most `count`.
  void Release(std::size_t begin = 0, std::size_t count = 1'000'000) {
    // With the lock held, as gRPC holds its own.
    const MutexLock lock(&mutex_);
    for (; count > 0 && begin < held_.size(); --count) held_[begin++].Clear();
  }
  std::vector<v1::Chunk> chunks() const {
    const MutexLock lock(&mutex_);
    return chunks_;
  }

  std::atomic<bool> is_cancelled = false;
  // Another thread ends the stream while it starts.
  bool ends_at_once = false;

 private:
  void Keep(const grpc::ByteBuffer& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    held_.push_back(message);
    grpc::ByteBuffer copy = message;
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(copy);
    EXPECT_TRUE(chunk.ok()) << chunk.status();
    if (chunk.ok()) chunks_.push_back(*chunk->head);
  }

  Reactor* reactor_ = nullptr;
  mutable Mutex mutex_;
  CondVar ended_;
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_answered_ ABSL_GUARDED_BY(mutex_) = false;
  int cancellations_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mutex_);
  std::deque<grpc::ByteBuffer> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Chunk> chunks_ ABSL_GUARDED_BY(mutex_);
};

// The states of a stream that can be told apart from outside.
enum class Situation {
  kMaking,    // kSending: the worker makes the first message
  kSending,   // a write is in flight, messages wait
  kFlushing,  // the same, and all messages were made
  kReleasing,
  kFailing,  // a write is in flight
  kFinishing,
  kAnswering,  // with the last confirmation
  kCached,     // kAnswering: all at once
  kDone,
};
constexpr Situation kSituations[] = {Situation::kMaking,    Situation::kSending, Situation::kFlushing,
                                     Situation::kReleasing, Situation::kFailing, Situation::kFinishing,
                                     Situation::kAnswering, Situation::kCached,  Situation::kDone};

constexpr StreamLimits kLimits{.stall_timeout = seconds(60), .max_duration = std::chrono::hours(24)};
constexpr SteadyTime kStart = SteadyTime(seconds(1'000));

// A stream, from its start to its end. Its clock shows kStart.
class Stream {
 public:
  explicit Stream(StreamPlan plan, IoMode io = IoMode::kPread, bool is_stuck = false)
      : resources_{.io = io,
                   .buffers = BufferPool::Create(kMiB),
                   .block_buffers = BufferPool::Create(kMiB),
                   .in_flight_bytes = limiter_.in_flight_bytes(),
                   .workers = &workers_,
                   .releases = &releases_,
                   .limiter = &limiter_,
                   .metrics = &metrics,
                   .clock = [] { return kStart; }} {
    if (is_stuck) workers_.Schedule([this] { disk_answers_.WaitForNotification(); });
    absl::StatusOr<StreamLimiter::Ticket> ticket = limiter_.Admit();
    EXPECT_TRUE(ticket.ok());
    Sender::Start(std::move(plan), *std::move(ticket), metrics.rpcs().Begin(Rpc::kGetTensors), call, resources_);
    sender = dynamic_cast<Sender&>(call.reactor()).shared_from_this();
    if (!is_stuck) Settle();
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    AnswerFromDisk();
    if (!is_done_) sender->End(absl::InternalError("the test is over"));
    if (call.is_writing()) call.CompleteWrite(false);
    call.AwaitEnd();
    Done();
    call.Release();
    Settle();
  }

  // Waits until the threads have nothing to do.
  void Settle() {
    for (WorkerPool* pool : {&workers_, &releases_, &workers_, &releases_}) {
      absl::Notification idle;
      pool->Schedule([&] { idle.Notify(); });
      idle.WaitForNotification();
    }
  }
  // Lets a worker continue that is stuck.
  void AnswerFromDisk() {
    if (!disk_answers_.HasBeenNotified()) disk_answers_.Notify();
    Settle();
  }
  // Completes writes, `count` at most, or until the end. Returns their number.
  int Write(int count = 1'000'000) {
    int written = 0;
    for (; written < count && call.is_writing(); ++written) {
      call.CompleteWrite();
      Settle();
    }
    return written;
  }
  // Ends the call.
  void Done() {
    if (!std::exchange(is_done_, true)) call.reactor().OnDone();
  }
  // Ends the call. Returns how it was counted.
  std::string Code() {
    Done();
    Settle();
    sender.reset();
    return metrics.rpcs().summary().by_code;
  }

  StreamLimiter& limiter() { return limiter_; }
  const StreamResources& resources() const { return resources_; }

  FakeCall call;
  Metrics metrics;

 private:
  absl::Notification disk_answers_;
  StreamLimiter limiter_{StreamLimits(), [] { return kStart; }};
  WorkerPool workers_{1};
  WorkerPool releases_{1};
  const StreamResources resources_;
  bool is_done_ = false;

 public:
  // A reference of the test's own, so that events can come after the end.
  std::shared_ptr<Sender> sender;
};

class SenderTest : public MessageMakerFixture {
 protected:
  SenderTest() {
    chunk_bytes_ = kMiB;
    Serve({{"long", Dtype::kU8, {20 * kMiB}}, {"short", Dtype::kU8, {3 * kMiB}}, {"small", Dtype::kU8, {4096}}});
  }

  StreamPlan PlanOf(const std::string& tensor) const {
    StreamPlan plan(model_);
    EXPECT_TRUE(AddRead(ReadOf(tensor), plan).ok());
    return plan;
  }

  // Makes the file another one than the one that was opened.
  void ChangeFile() const { std::ofstream(directory_.Path("m.safetensors"), std::ios::app) << "x"; }

  std::unique_ptr<Stream> In(Situation situation) const {
    const bool is_long = situation == Situation::kSending || situation == Situation::kFailing;
    const bool is_cached = situation == Situation::kCached;
    auto stream = std::make_unique<Stream>(PlanOf(is_cached ? "small"
                                                  : is_long ? "long"
                                                            : "short"),
                                           is_cached ? IoMode::kMmap : IoMode::kPread,
                                           /*is_stuck=*/situation == Situation::kMaking);
    switch (situation) {
      case Situation::kMaking:
        EXPECT_FALSE(stream->call.is_writing() || stream->call.has_ended());
        break;
      case Situation::kSending:
      case Situation::kFlushing:
        EXPECT_TRUE(stream->call.is_writing());
        break;
      case Situation::kFailing:
        stream->sender->End(absl::InternalError("the first error"));
        EXPECT_TRUE(stream->call.is_writing() && !stream->call.has_ended());
        break;
      case Situation::kReleasing:
      case Situation::kFinishing:
      case Situation::kAnswering:
      case Situation::kDone:
        EXPECT_EQ(stream->Write(), 3);
        EXPECT_FALSE(stream->call.is_writing() || stream->call.has_ended());
        if (situation == Situation::kFinishing) stream->sender->End(absl::InternalError("the first error"));
        if (situation == Situation::kAnswering || situation == Situation::kDone) {
          stream->call.Release();
          EXPECT_TRUE(stream->call.AwaitEnd().ok());
          stream->Settle();
        }
        if (situation == Situation::kDone) stream->Done();
        break;
      case Situation::kCached:
        EXPECT_TRUE(stream->call.is_answered());
        break;
    }
    return stream;
  }

  // Returns true if an error can still end a stream.
  static bool IsRunning(Situation situation) { return situation <= Situation::kReleasing; }
  static bool IsAnswered(Situation situation) {
    return situation == Situation::kAnswering || situation == Situation::kCached;
  }

  // Checks that an error that came in a situation ends the stream after what is in flight, and that nothing new is
  // written.
  static void ExpectEnds(Stream& stream, Situation situation, grpc::StatusCode code, const std::string& message) {
    if (situation == Situation::kMaking) {
      EXPECT_FALSE(stream.call.has_ended()) << "the worker still uses the plan";
      stream.AnswerFromDisk();
    } else if (situation != Situation::kReleasing) {
      stream.Settle();
      EXPECT_FALSE(stream.call.has_ended()) << "a write is in flight";
      EXPECT_EQ(stream.Write(), 1);
    }
    ASSERT_TRUE(stream.call.has_ended()) << "nothing is in flight";
    const grpc::Status status = stream.call.AwaitEnd();
    EXPECT_EQ(status.error_code(), code);
    EXPECT_THAT(status.error_message(), HasSubstr(message));
    EXPECT_FALSE(stream.call.is_answered());
  }

  // Checks that an event has not changed the end of a stream in a situation that is no longer running.
  static void ExpectEndsAsBefore(Stream& stream, Situation situation) {
    if (situation == Situation::kFailing) {
      EXPECT_FALSE(stream.call.has_ended());
      EXPECT_EQ(stream.Write(), 1);
    }
    ASSERT_TRUE(stream.call.has_ended());
    const bool has_failed = situation == Situation::kFailing || situation == Situation::kFinishing;
    EXPECT_EQ(stream.call.AwaitEnd().error_message(), has_failed ? "the first error" : "");
    EXPECT_EQ(stream.Code(), has_failed ? "1 Internal" : "1 OK");
  }
};

TEST_F(SenderTest, CancellationEndsTheStreamInEveryState) {
  for (const Situation situation : kSituations) {
    SCOPED_TRACE(static_cast<int>(situation));
    const std::unique_ptr<Stream> stream = In(situation);
    stream->sender->OnCancel();
    if (IsRunning(situation)) {
      ExpectEnds(*stream, situation, grpc::StatusCode::CANCELLED, "cancelled, or its deadline passed");
      EXPECT_EQ(stream->Code(), "1 Canceled");
    } else {
      ExpectEndsAsBefore(*stream, situation);
    }
    EXPECT_EQ(stream->call.cancellations(), 0);
  }
}

TEST_F(SenderTest, ServerEndsTheStreamInEveryState) {
  for (const Situation situation : kSituations) {
    SCOPED_TRACE(static_cast<int>(situation));
    const std::unique_ptr<Stream> stream = In(situation);
    stream->sender->End(absl::UnavailableError("going away"));
    stream->sender->End(absl::UnavailableError("a second time"));
    if (IsRunning(situation)) {
      ExpectEnds(*stream, situation, grpc::StatusCode::UNAVAILABLE, "going away");
    } else {
      ExpectEndsAsBefore(*stream, situation);
    }
  }
}

TEST_F(SenderTest, ClientThatStallsIsCutOffInEveryStateThatWaitsForIt) {
  for (const Situation situation : kSituations) {
    SCOPED_TRACE(static_cast<int>(situation));
    const std::unique_ptr<Stream> stream = In(situation);
    EXPECT_FALSE(stream->sender->CutOff(kLimits, kStart + seconds(60)));
    EXPECT_EQ(stream->call.cancellations(), 0);
    const bool waits_for_client = situation != Situation::kMaking && situation != Situation::kDone;
    EXPECT_EQ(stream->sender->CutOff(kLimits, kStart + seconds(61)), waits_for_client);
    EXPECT_EQ(stream->call.cancellations(), waits_for_client ? 1 : 0);
    EXPECT_FALSE(stream->sender->CutOff(kLimits, kStart + seconds(62))) << "once";
    EXPECT_EQ(stream->call.cancellations(), waits_for_client ? 1 : 0);
    if (situation == Situation::kMaking) {
      stream->AnswerFromDisk();
      EXPECT_EQ(stream->Write(), 3) << "the disk is slow, not the client";
    } else if (IsAnswered(situation)) {
      stream->call.is_cancelled = true;
      EXPECT_EQ(stream->Code(), "1 Canceled");
    } else if (IsRunning(situation)) {
      ExpectEnds(*stream, situation, grpc::StatusCode::CANCELLED, "the client took nothing for too long");
    } else {
      ExpectEndsAsBefore(*stream, situation);
    }
  }
}

TEST_F(SenderTest, StreamThatTakesTooLongIsCutOffInEveryState) {
  constexpr StreamLimits kNoStall{.stall_timeout = seconds(0), .max_duration = seconds(100)};
  for (const Situation situation : kSituations) {
    SCOPED_TRACE(static_cast<int>(situation));
    const std::unique_ptr<Stream> stream = In(situation);
    EXPECT_FALSE(stream->sender->CutOff(kNoStall, kStart + seconds(100)));
    const bool can_be_cut = situation != Situation::kDone;
    EXPECT_EQ(stream->sender->CutOff(kNoStall, kStart + seconds(101)), can_be_cut);
    EXPECT_EQ(stream->call.cancellations(), can_be_cut ? 1 : 0);
    if (IsRunning(situation)) {
      ExpectEnds(*stream, situation, grpc::StatusCode::CANCELLED, "the call took too long");
    } else {
      ExpectEndsAsBefore(*stream, situation);
    }
  }
}

TEST_F(SenderTest, StreamIsNotCutOffWithoutLimits) {
  constexpr StreamLimits kNone{.stall_timeout = seconds(0), .max_duration = seconds(0)};
  for (const Situation situation : kSituations) {
    const std::unique_ptr<Stream> stream = In(situation);
    EXPECT_FALSE(stream->sender->CutOff(kNone, kStart + std::chrono::hours(10'000)));
  }
}

TEST_F(SenderTest, ReleaseInEveryStateEndsOnlyWhatWaitsForIt) {
  for (const Situation situation : kSituations) {
    SCOPED_TRACE(static_cast<int>(situation));
    const std::unique_ptr<Stream> stream = In(situation);
    stream->call.Release();
    if (situation != Situation::kMaking) stream->Settle();
    if (!IsRunning(situation)) {
      ExpectEndsAsBefore(*stream, situation);
      continue;
    }
    EXPECT_EQ(stream->call.has_ended(), situation == Situation::kReleasing);
    stream->AnswerFromDisk();
    stream->Write();
    stream->call.Release();
    EXPECT_TRUE(stream->call.AwaitEnd().ok());
    EXPECT_TRUE(stream->call.is_answered());
    const std::int64_t size_bytes = (situation == Situation::kSending ? 20 : 3) * kMiB;
    EXPECT_EQ(stream->call.chunks().back().confirmed_size_bytes(), size_bytes);
    EXPECT_EQ(stream->Code(), "1 OK");
  }
}

TEST_F(SenderTest, ReleaseAfterAChangeOfTheFileIsAnErrorInEveryState) {
  for (const Situation situation : kSituations) {
    SCOPED_TRACE(static_cast<int>(situation));
    Serve(tensors_);
    const std::unique_ptr<Stream> stream = In(situation);
    ChangeFile();
    stream->call.Release();
    if (situation != Situation::kMaking) stream->Settle();
    if (!IsRunning(situation)) {
      ExpectEndsAsBefore(*stream, situation);
      continue;
    }
    stream->AnswerFromDisk();
    const int written = stream->Write();
    stream->call.Release();
    const grpc::Status status = stream->call.AwaitEnd();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
    EXPECT_THAT(status.error_message(), HasSubstr("changed"));
    for (const v1::Chunk& chunk : stream->call.chunks()) EXPECT_EQ(chunk.confirmed_size_bytes(), 0);
    if (situation == Situation::kMaking) {
      EXPECT_EQ(written, 0) << "the client need not receive data first";
    }
  }
}

TEST_F(SenderTest, WindowsAreConfirmedWhileTheStreamRuns) {
  for (const IoMode io : {IoMode::kPread, IoMode::kMmap, IoMode::kMmap}) {
    Stream stream(PlanOf("long"), io);
    while (!stream.call.has_ended()) {
      stream.call.Release();
      if (stream.Write(1) == 0) stream.call.AwaitEnd();
    }
    EXPECT_TRUE(stream.call.AwaitEnd().ok());
    std::int64_t sent = 0;
    std::int64_t confirmed = 0;
    for (const v1::Chunk& chunk : stream.call.chunks()) {
      EXPECT_GE(chunk.confirmed_size_bytes(), chunk.has_confirmed_size_bytes() ? confirmed + 1 : 0);
      EXPECT_LE(chunk.confirmed_size_bytes(), sent);
      if (chunk.has_confirmed_size_bytes()) confirmed = chunk.confirmed_size_bytes();
      for (const v1::Segment& segment : chunk.segments()) sent += segment.size_bytes();
      EXPECT_LE(sent - confirmed, 16 * kMiB);
    }
    EXPECT_EQ(sent, 20 * kMiB);
    EXPECT_EQ(confirmed, 20 * kMiB);
  }
}

TEST_F(SenderTest, ChangeIsNoticedWithTheNextMessageWhileTheStreamRuns) {
  Stream stream(PlanOf("long"));
  EXPECT_EQ(stream.Write(9), 9);
  ChangeFile();
  stream.call.Release();
  EXPECT_FALSE(stream.call.has_ended());
  EXPECT_LE(stream.Write(), 4) << "those that were made before";
  EXPECT_EQ(stream.call.AwaitEnd().error_code(), grpc::StatusCode::ABORTED);
}

TEST_F(SenderTest, ChangeIsNoticedWithAnyReleaseWhileTheStreamWaitsForReleases) {
  Stream stream(PlanOf("long"));
  EXPECT_EQ(stream.Write(), 20);
  ChangeFile();
  stream.call.Release(0, 8);
  EXPECT_EQ(stream.call.AwaitEnd().error_code(), grpc::StatusCode::ABORTED) << "the other windows are held";
}

TEST_F(SenderTest, StreamEndsWhenAllWindowsAreReleasedInAnyOrder) {
  // Windows: messages 0 to 7, 8 to 15, 16 to 19.
  for (const std::vector<std::size_t>& order :
       std::vector<std::vector<std::size_t>>{{0, 8, 16}, {16, 8, 0}, {8, 16, 0}}) {
    Stream stream(PlanOf("long"));
    EXPECT_EQ(stream.Write(), 20);
    for (const std::size_t begin : order) {
      EXPECT_FALSE(stream.call.has_ended());
      stream.call.Release(begin, 8);
      stream.Settle();
    }
    EXPECT_TRUE(stream.call.AwaitEnd().ok());
    EXPECT_EQ(stream.call.chunks().back().confirmed_size_bytes(), 20 * kMiB);
  }
}

TEST_F(SenderTest, ClientThatGoesAwayEndsTheStream) {
  Stream stream(PlanOf("long"));
  stream.call.CompleteWrite(false);
  EXPECT_EQ(stream.call.AwaitEnd().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(stream.call.chunks().size(), 1U);
  EXPECT_EQ(stream.Code(), "1 Canceled");
}

TEST_F(SenderTest, SmallStreamInThePageCacheIsOneMessageThatConfirmsItself) {
  Stream stream(PlanOf("small"), IoMode::kMmap);
  EXPECT_TRUE(stream.call.is_answered());
  const std::vector<v1::Chunk> chunks = stream.call.chunks();
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_TRUE(chunks[0].has_header());
  EXPECT_EQ(chunks[0].confirmed_size_bytes(), 4096);
  EXPECT_EQ(stream.Code(), "1 OK");
}

TEST_F(SenderTest, StreamThatIsEndedWhileItStartsEndsOnce) {
  for (const std::string tensor : {"small", "long"}) {
    Stream other(PlanOf("small"), IoMode::kMmap);
    FakeCall call;
    call.ends_at_once = true;
    absl::StatusOr<StreamLimiter::Ticket> ticket = other.limiter().Admit();
    TF_ASSERT_OK(ticket.status());
    Sender::Start(PlanOf(tensor), *std::move(ticket), other.metrics.rpcs().Begin(Rpc::kGetTensors), call,
                  other.resources());
    EXPECT_EQ(call.AwaitEnd().error_message(), "going away");
    EXPECT_TRUE(call.chunks().empty());
    call.reactor().OnDone();
    EXPECT_EQ(other.limiter().active(), 1);
  }
}

TEST_F(SenderTest, FileThatChangedBeforeTheStreamIsAnErrorWithoutData) {
  ChangeFile();
  for (const std::string tensor : {"long", "short", "small"}) {
    Stream stream(PlanOf(tensor), IoMode::kMmap);
    EXPECT_EQ(stream.call.AwaitEnd().error_code(), grpc::StatusCode::ABORTED);
    EXPECT_TRUE(stream.call.chunks().empty());
  }
}

TEST_F(SenderTest, PlanWithoutDataEndsWithoutAConfirmation) {
  for (const IoMode io : {IoMode::kPread, IoMode::kMmap}) {
    StreamPlan plan(model_);
    TF_ASSERT_OK(AddRead(ReadOf("small", 0, 0), plan));
    Stream stream(std::move(plan), io);
    stream.Write();
    EXPECT_TRUE(stream.call.AwaitEnd().ok());
    EXPECT_EQ(stream.call.chunks().size(), 1U);
    EXPECT_EQ(stream.call.is_answered(), io == IoMode::kMmap);
    EXPECT_EQ(stream.Code(), "1 OK");
  }
}

}  // namespace
}  // namespace tensorferry::server
