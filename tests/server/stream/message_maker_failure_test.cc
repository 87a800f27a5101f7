// SPDX-License-Identifier: Apache-2.0
// Files that change under a plan, and reads that cannot be planned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "lib/wire/proto_conversion.h"
#include "tests/server/stream/message_maker_fixture.h"

namespace tensorferry::server {
namespace {

using MessageMakerFailureTest = MessageMakerFixture;

TEST_F(MessageMakerFailureTest, BlockThatChangedSinceItsChecksumWasTakenIsNoticedByTheReceiver) {
  std::vector<test::TensorSpec> many;
  for (int i = 0; i < 1024; ++i) many.push_back({"t" + std::to_string(i), Dtype::kU8, {4 << 10}});
  for (const std::vector<test::TensorSpec>& tensors : {{{"t", Dtype::kU8, {4 << 20}}}, many}) {
    Serve(tensors);
    chunk_bytes_ = 1 << 20;
    const auto messages_with_mismatch = [&] {
      StreamPlan plan(model_);
      for (const test::TensorSpec& tensor : tensors) EXPECT_TRUE(AddRead(ReadOf(tensor.name), plan).ok());
      MessageMaker source(std::move(plan), IoMode::kMmap, BufferPool::Create(chunk_bytes_),
                          std::make_shared<InFlightBytes>());
      int mismatches = 0;
      while (!source.done()) {
        absl::StatusOr<Message> message = source.Next();
        EXPECT_TRUE(message.ok()) << message.status();
        if (!message.ok()) return -1;
        const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message->bytes);
        EXPECT_TRUE(chunk.ok()) << chunk.status();
        if (!chunk.ok()) return -1;
        if (!wire::VerifyChecksum(*chunk).ok()) ++mismatches;
      }
      return mismatches;
    };
    EXPECT_EQ(messages_with_mismatch(), 0);
    std::fstream file(directory_.Path("m.safetensors"));
    file.seekp(2 << 20);
    file.put(static_cast<char>(test::AsString(model_->files()[0].file->bytes()).at(2 << 20) + 1));
    file.close();
    EXPECT_EQ(messages_with_mismatch(), 1) << tensors.size() << " tensors";
  }
}

TEST_F(MessageMakerFailureTest, FileThatShrankIsAnErrorWithPread) {
  Serve({{"t", Dtype::kU8, {1000, 300}}});
  for (const bool short_runs : {false, true}) {
    v1::Read read = ReadOf("t");
    if (short_runs) *read.mutable_slice() = wire::ToProto(SliceSpec{.dimensions = {Range{}, Range{0, 10, 1}}});
    StreamPlan plan(model_);
    TF_ASSERT_OK(AddRead(read, plan));
    std::filesystem::resize_file(directory_.Path("m.safetensors"), 200'000);
    MessageMaker source(std::move(plan), IoMode::kPread, BufferPool::Create(1 << 20),
                        std::make_shared<InFlightBytes>());
    EXPECT_THAT(source.Next(), test::StatusIs(absl::StatusCode::kDataLoss, ::testing::HasSubstr("m.safetensors")));
  }
}

TEST_F(MessageMakerFailureTest, BadReadsAreNamed) {
  Serve({{"t", Dtype::kU8, {10}}});
  StreamPlan plan(model_);
  using ::testing::HasSubstr;
  EXPECT_THAT(AddRead(ReadOf("u"), plan), test::StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"u\"")));
  EXPECT_THAT(AddRead(ReadOf("t", 11), plan),
              test::StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("read_offset 11 is beyond the result of 10")));
  EXPECT_THAT(AddRead(ReadOf("t", -1), plan), test::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(AddRead(ReadOf("t", 0, -1), plan), test::StatusIs(absl::StatusCode::kInvalidArgument));
  v1::Read read = ReadOf("t");
  read.mutable_slice()->add_dimensions();
  EXPECT_THAT(AddRead(read, plan),
              test::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("neither an index nor a range")));
  EXPECT_TRUE(plan.reads.empty());
}

}  // namespace
}  // namespace tensorferry::server
