// SPDX-License-Identifier: Apache-2.0
// The input is a stream as a server might send it: messages, each with a length of two bytes before it. Whatever it is,
// the assembler writes inside its destination only, takes the stream as complete only if every byte was written, and
// does the same with memory as with destinations that are written to after the checksum matched.
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "client/assembler.h"
#include "lib/checksum/crc32c.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/v1/tensor_service.pb.h"
#include "tests/fuzz/check.h"

namespace tensorferry::fuzz {
namespace {

// Remembers which bytes were written.
class WatchedDestination final : public Destination {
 public:
  explicit WatchedDestination(std::size_t size) : written_(size, 0), bytes_(size) {}

  std::int64_t size_bytes() const override { return static_cast<std::int64_t>(written_.size()); }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override {
    const auto size = static_cast<std::int64_t>(data.size());
    Check(offset >= 0 && offset <= size_bytes() && size <= size_bytes() - offset, "a write outside the destination");
    for (std::size_t i = 0; i < data.size(); ++i) {
      Check(written_[static_cast<std::size_t>(offset) + i]++ == 0, "a byte written twice");
      bytes_[static_cast<std::size_t>(offset) + i] = data[i];
    }
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }

  const std::vector<std::byte>& bytes() const { return bytes_; }
  bool complete() const {
    for (const int count : written_) {
      if (count != 1) return false;
    }
    return true;
  }

 private:
  std::vector<int> written_;
  std::vector<std::byte> bytes_;
};

// A fuzzer does not find checksums: they are made right, which leaves the rest of the message as it was found.
std::string WithChecksum(const std::string& bytes) {
  v1::GetTensorsResponse response;
  if (!response.ParseFromString(bytes) || !response.has_chunk()) return bytes;
  const std::string& data = response.chunk().data();
  response.mutable_chunk()->set_data_crc32c(Crc32c(std::as_bytes(std::span(data.data(), data.size()))));
  return response.SerializeAsString();
}

}  // namespace
}  // namespace tensorferry::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace tensorferry;  // NOLINT
  fuzz::WatchedDestination a(4);
  fuzz::WatchedDestination b(6);
  Assembler assembler({{.name = "a", .begin = 0, .end = 4, .result_bytes = 4, .destination = &a},
                       {.name = "b", .begin = 0, .end = 6, .result_bytes = 6, .destination = &b}},
                      "", "");
  std::vector<std::byte> c(4);
  std::vector<std::byte> d(6);
  HostDestination to_c(c);
  HostDestination to_d(d);
  Assembler in_memory({{.name = "a", .begin = 0, .end = 4, .result_bytes = 4, .destination = &to_c},
                       {.name = "b", .begin = 0, .end = 6, .result_bytes = 6, .destination = &to_d}},
                      "", "");
  bool broken = false;
  while (size >= 2 && !broken) {
    // Of some the checksum stays as it was found.
    const bool found = (input[1] & 0x80) != 0;
    const std::size_t length = std::min(input[0] + std::size_t{256} * (input[1] & 0x7f), size - 2);
    std::string bytes(reinterpret_cast<const char*>(input) + 2, length);
    if (!found) bytes = fuzz::WithChecksum(bytes);
    input += 2 + length;
    size -= 2 + length;
    const std::size_t cut = bytes.size() / 3;
    const grpc::Slice slices[] = {grpc::Slice(bytes.data(), cut), grpc::Slice(bytes.data() + cut, bytes.size() - cut)};
    grpc::ByteBuffer message(slices, 2);
    const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message);
    if (!chunk.ok()) return 0;
    const std::int64_t before = in_memory.received_bytes();
    broken = !assembler.Add(*chunk).ok();
    fuzz::Check(in_memory.Add(*chunk).ok() != broken, "memory takes what others do not, or the other way round");
    fuzz::Check(in_memory.received_bytes() == (broken ? before : assembler.received_bytes()),
                "a wrong number of bytes");
  }
  if (!broken && assembler.Complete().ok()) {
    fuzz::Check(a.complete() && b.complete(), "complete without every byte");
    fuzz::Check(in_memory.Complete().ok() && c == a.bytes() && d == b.bytes(), "other bytes in memory");
  }
  return 0;
}
