// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/fault_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "lib/checksum/crc32c.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry::test {
namespace {

grpc::Status Broken() { return {grpc::StatusCode::UNAVAILABLE, "broken on purpose"}; }

}  // namespace

std::string_view Name(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "none";
    case Fault::kUnavailable:
      return "unavailable";
    case Fault::kExhausted:
      return "exhausted";
    case Fault::kBreakAfterHeader:
      return "break after header";
    case Fault::kBreak:
      return "break";
    case Fault::kCancel:
      return "cancel";
    case Fault::kFlippedByte:
      return "flipped byte";
    case Fault::kNoChecksum:
      return "no checksum";
    case Fault::kOtherGeneration:
      return "other generation";
    case Fault::kOtherInstance:
      return "other instance";
    case Fault::kOtherBytes:
      return "other bytes";
    case Fault::kOtherShape:
      return "other shape";
    case Fault::kEarlyOk:
      return "early OK";
    case Fault::kDuplicate:
      return "duplicate";
    case Fault::kGap:
      return "gap";
    case Fault::kOversize:
      return "oversize";
    case Fault::kHugeMessage:
      return "huge message";
    case Fault::kExtra:
      return "extra";
    case Fault::kBreakAtEnd:
      return "break at end";
    case Fault::kNotFound:
      return "not found";
    case Fault::kStall:
      return "stall";
  }
  return "?";
}

FaultServer::FaultServer(std::string bytes, std::size_t chunk_bytes)
    : bytes_(std::move(bytes)), chunk_bytes_(static_cast<std::int64_t>(chunk_bytes)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
}

FaultServer::~FaultServer() { server_->Shutdown(std::chrono::system_clock::now()); }

void FaultServer::SetFaults(std::vector<Fault> faults) {
  const MutexLock lock(&mutex_);
  faults_ = {faults.begin(), faults.end()};
  requests_.clear();
  comparisons_ = 0;
}

std::vector<v1::GetTensorsRequest> FaultServer::requests() const {
  const MutexLock lock(&mutex_);
  return requests_;
}

int FaultServer::comparisons() const {
  const MutexLock lock(&mutex_);
  return comparisons_;
}

Fault FaultServer::NextFault(const v1::GetTensorsRequest& request) {
  const MutexLock lock(&mutex_);
  requests_.push_back(request);
  if (faults_.empty()) return last_fault_ = Fault::kNone;
  last_fault_ = faults_.front();
  faults_.pop_front();
  return last_fault_;
}

grpc::Status FaultServer::ListModels(grpc::ServerContext*, const v1::ListModelsRequest*, v1::ListModelsResponse*) {
  return grpc::Status::OK;
}

std::string FaultServer::BytesOf(Fault fault) const {
  if (fault == Fault::kOtherGeneration) return std::string(bytes_.size(), '2');
  std::string bytes = bytes_;
  if (fault == Fault::kOtherBytes) bytes[0] = static_cast<char>(bytes[0] ^ 1);
  return bytes;
}

v1::GetTensorsResponse FaultServer::HeaderChunk(Fault fault, std::int64_t size_bytes) const {
  const auto size = static_cast<std::int64_t>(bytes_.size());
  v1::GetTensorsResponse response;
  v1::StreamHeader& header = *response.mutable_chunk()->mutable_header();
  header.set_generation(fault == Fault::kOtherGeneration ? "g2" : std::string(kGeneration));
  const bool other_instance = fault == Fault::kOtherInstance || fault == Fault::kOtherBytes;
  header.set_instance(other_instance ? std::string(Name(fault)) : "i1");
  header.set_read_count(1);
  header.set_size_bytes(size_bytes);
  v1::ReadResult& result = *response.mutable_chunk()->add_results();
  result.set_name("t");
  result.set_dtype(fault == Fault::kOtherShape ? "I8" : "U8");
  result.add_shape(size);
  result.set_size_bytes(size);
  return response;
}

v1::GetTensorsResponse FaultServer::DataChunk(const std::string& bytes, std::int64_t offset, std::int64_t size_bytes,
                                              std::int64_t read) {
  v1::GetTensorsResponse response;
  v1::Chunk& chunk = *response.mutable_chunk();
  v1::Segment& segment = *chunk.add_segments();
  segment.set_read_index(read);
  segment.set_result_offset(offset);
  segment.set_size_bytes(size_bytes);
  std::string data = static_cast<std::size_t>(offset) < bytes.size()
                         ? bytes.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(size_bytes))
                         : std::string();
  data.resize(static_cast<std::size_t>(size_bytes), '?');
  chunk.set_crc32c(Crc32c(AsBytes(data)));
  chunk.set_data(std::move(data));
  return response;
}

grpc::Status FaultServer::SendChecksums(const v1::Read& read, Writer* writer) {
  Fault fault = Fault::kNone;
  {
    const MutexLock lock(&mutex_);
    ++comparisons_;
    fault = last_fault_;
  }
  const std::string bytes = BytesOf(fault);
  writer->Write(HeaderChunk(fault, read.read_limit()));
  const std::int64_t end = read.read_offset() + read.read_limit();
  for (std::int64_t offset = read.read_offset(); offset < end; offset += chunk_bytes_) {
    v1::GetTensorsResponse response = DataChunk(bytes, offset, std::min(chunk_bytes_, end - offset));
    response.mutable_chunk()->clear_data();
    writer->Write(response);
  }
  return grpc::Status::OK;
}

grpc::Status FaultServer::GetTensors(grpc::ServerContext* context, const v1::GetTensorsRequest* request,
                                     Writer* writer) {
  const v1::Read& read = request->reads(0);
  if (request->checksums_only()) return SendChecksums(read, writer);
  const Fault fault = NextFault(*request);
  if (fault == Fault::kUnavailable) return Broken();
  if (fault == Fault::kExhausted) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams"};
  if (fault == Fault::kNotFound) return {grpc::StatusCode::NOT_FOUND, "no model \"m\""};

  const std::string bytes = BytesOf(fault);
  const auto size = static_cast<std::int64_t>(bytes.size());
  const std::int64_t end = read.has_read_limit() ? std::min(size, read.read_offset() + read.read_limit()) : size;
  writer->Write(HeaderChunk(fault, end - read.read_offset()));
  if (fault == Fault::kBreakAfterHeader) return Broken();

  int chunks = 0;
  for (std::int64_t offset = read.read_offset(); offset < end; offset += chunk_bytes_, ++chunks) {
    const bool in_the_middle = chunks == 2;
    if (in_the_middle && fault == Fault::kBreak) return Broken();
    if (in_the_middle && fault == Fault::kEarlyOk) return grpc::Status::OK;
    if (in_the_middle && fault == Fault::kGap) continue;
    if (in_the_middle && (fault == Fault::kCancel || fault == Fault::kStall)) {
      if (fault == Fault::kCancel) context->TryCancel();
      while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      return grpc::Status::CANCELLED;
    }
    if (in_the_middle && fault == Fault::kHugeMessage) writer->Write(DataChunk(bytes, offset, 5 << 20));
    if (in_the_middle && fault == Fault::kDuplicate) {
      writer->Write(DataChunk(bytes, offset - chunk_bytes_, chunk_bytes_));
    }
    const std::int64_t excess = fault == Fault::kOversize && offset + chunk_bytes_ >= end ? 1 : 0;
    v1::GetTensorsResponse response = DataChunk(bytes, offset, std::min(chunk_bytes_, end - offset) + excess);
    std::string& data = *response.mutable_chunk()->mutable_data();
    if (in_the_middle && fault == Fault::kFlippedByte)
      data[data.size() / 2] = static_cast<char>(data[data.size() / 2] ^ 1);
    if (in_the_middle && fault == Fault::kNoChecksum) response.mutable_chunk()->clear_crc32c();
    if (!writer->Write(response)) return grpc::Status::CANCELLED;
  }
  if (fault == Fault::kExtra) writer->Write(DataChunk(bytes, 0, chunk_bytes_, 1));
  if (fault == Fault::kBreakAtEnd) return Broken();
  return grpc::Status::OK;
}

}  // namespace tensorferry::test
