// SPDX-License-Identifier: Apache-2.0
//
// flight_server FILE BATCH_BYTES: serves ranges of a mapped file over Arrow Flight without copying them. A ticket is
// "OFFSET SIZE". Prints its port.
#include <arrow/api.h>
#include <arrow/flight/api.h>
#include <arrow/io/file.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>

namespace {

// A range of the file as batches of one column of bytes.
class RangeReader final : public arrow::RecordBatchReader {
 public:
  RangeReader(std::shared_ptr<arrow::Buffer> bytes, std::int64_t batch_bytes)
      : bytes_(std::move(bytes)), batch_bytes_(batch_bytes) {}

  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }

  arrow::Status ReadNext(std::shared_ptr<arrow::RecordBatch>* batch) override {
    const std::int64_t size = std::min(batch_bytes_, bytes_->size() - position_);
    if (size == 0) {
      *batch = nullptr;
      return arrow::Status::OK();
    }
    const auto data =
        arrow::ArrayData::Make(arrow::uint8(), size, {nullptr, arrow::SliceBuffer(bytes_, position_, size)},
                               /*null_count=*/0);
    *batch = arrow::RecordBatch::Make(schema_, size, std::vector{data});
    position_ += size;
    return arrow::Status::OK();
  }

 private:
  const std::shared_ptr<arrow::Schema> schema_ = arrow::schema({arrow::field("bytes", arrow::uint8(), false)});
  const std::shared_ptr<arrow::Buffer> bytes_;
  const std::int64_t batch_bytes_;
  std::int64_t position_ = 0;
};

class Server final : public arrow::flight::FlightServerBase {
 public:
  Server(std::shared_ptr<arrow::io::MemoryMappedFile> file, std::int64_t batch_bytes)
      : file_(std::move(file)), batch_bytes_(batch_bytes) {}

  arrow::Status DoGet(const arrow::flight::ServerCallContext&, const arrow::flight::Ticket& ticket,
                      std::unique_ptr<arrow::flight::FlightDataStream>* stream) override {
    std::istringstream fields(ticket.ticket);
    std::int64_t offset = 0;
    std::int64_t size = 0;
    if (!(fields >> offset >> size)) return arrow::Status::Invalid("the ticket must be \"OFFSET SIZE\"");
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> bytes, file_->ReadAt(offset, size));
    if (bytes->size() != size) return arrow::Status::Invalid("the range exceeds the file");
    *stream = std::make_unique<arrow::flight::RecordBatchStream>(
        std::make_shared<RangeReader>(std::move(bytes), batch_bytes_));
    return arrow::Status::OK();
  }

 private:
  const std::shared_ptr<arrow::io::MemoryMappedFile> file_;
  const std::int64_t batch_bytes_;
};

arrow::Status Serve(const std::string& path, std::int64_t batch_bytes) {
  ARROW_ASSIGN_OR_RAISE(auto file, arrow::io::MemoryMappedFile::Open(path, arrow::io::FileMode::READ));
  ARROW_ASSIGN_OR_RAISE(const auto location, arrow::flight::Location::ForGrpcTcp("127.0.0.1", 0));
  Server server(std::move(file), batch_bytes);
  ARROW_RETURN_NOT_OK(server.Init(arrow::flight::FlightServerOptions(location)));
  std::printf("%d\n", server.port());
  std::fflush(stdout);
  return server.Serve();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: flight_server FILE BATCH_BYTES\n", stderr);
    return 2;
  }
  const arrow::Status status = Serve(argv[1], std::stoll(argv[2]));
  if (status.ok()) return 0;
  std::fprintf(stderr, "flight_server: %s\n", status.ToString().c_str());
  return 1;
}
