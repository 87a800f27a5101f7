// SPDX-License-Identifier: Apache-2.0
#include "server/stream/stream_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "lib/text/quote.h"
#include "lib/wire/proto_conversion.h"

namespace tensorferry::server {
namespace {

absl::Status WithSubject(std::string_view kind, std::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{} {}: {}", kind, Quote(name), std::string(status.message())));
}

absl::StatusOr<SlicePlan> PlanSlice(const v1::Read& read, const safetensors::TensorView& tensor) {
  if (!read.has_slice()) return SlicePlan::Whole(tensor.shape, tensor.size_bytes());
  const absl::StatusOr<SliceSpec> spec = wire::FromProto(read.slice());
  if (!spec.ok()) return spec.status();
  return SlicePlan::Create(*spec, tensor.dtype, tensor.shape);
}

// Returns the index of a tensor. Tries `guess` first.
std::optional<std::size_t> FindTensor(const Model& model, std::string_view name, std::size_t guess) {
  if (guess < model.tensor_count() && model.tensor(guess).view.name == name) return guess;
  return model.Find(name);
}

// Limits a read to the requested part of its result and adds it.
absl::Status Add(PlannedRead read, std::int64_t read_offset, std::int64_t read_limit, StreamPlan& plan) {
  const std::int64_t size = read.slice.size_bytes();
  if (read_offset < 0 || read_limit < 0) {
    return absl::InvalidArgumentError(
        fmt::format("read_offset {} and read_limit {} must not be negative", read_offset, read_limit));
  }
  if (read_offset > size) {
    return absl::OutOfRangeError(fmt::format("read_offset {} is beyond the result of {} bytes", read_offset, size));
  }
  read.result_begin = read_offset;
  read.result_end = read_offset + std::min(read_limit, size - read_offset);
  plan.header.set_read_count(plan.header.read_count() + 1);
  plan.header.set_size_bytes(plan.header.size_bytes() + read.result_end - read.result_begin);
  plan.reads.push_back(std::move(read));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Model>> FindModel(const Catalog& catalog, const std::string& name,
                                                       const std::string& generation) {
  if (name.empty()) return absl::InvalidArgumentError("the request names no model");
  absl::StatusOr<std::shared_ptr<const Model>> model = catalog.Find(name);
  if (!model.ok() || generation.empty() || generation == (*model)->generation()) return model;
  return absl::AbortedError(fmt::format("model {} is of generation {}, not of {} as the request demands", Quote(name),
                                        (*model)->generation(), Quote(generation)));
}

StreamPlan::StreamPlan(std::shared_ptr<const Model> served) : model(std::move(served)) {
  header.set_generation(model->generation());
  header.set_instance(model->instance());
}

absl::Status AddRead(const v1::Read& read, StreamPlan& plan) {
  const std::optional<std::size_t> index = FindTensor(*plan.model, read.tensor(), plan.next_tensor);
  if (!index) return absl::NotFoundError(fmt::format("there is no tensor {} in the model", Quote(read.tensor())));
  plan.next_tensor = *index + 1;
  const Model::TensorRef tensor = plan.model->tensor(*index);
  absl::StatusOr<SlicePlan> slice = PlanSlice(read, tensor.view);
  if (!slice.ok()) return WithSubject("tensor", read.tensor(), slice.status());
  PlannedRead planned{.name = tensor.view.name,
                      .dtype = DtypeName(tensor.view.dtype),
                      .file = tensor.file->file,
                      .source_offset = tensor.file->tensors->data_offset() + tensor.view.begin,
                      .source_size_bytes = tensor.view.size_bytes(),
                      .slice = *std::move(slice)};
  const absl::Status added = Add(std::move(planned), read.read_offset(), LimitOf(read), plan);
  return added.ok() ? added : WithSubject("tensor", read.tensor(), added);
}

absl::Status AddFile(const std::string& file, std::int64_t read_offset, std::int64_t read_limit, StreamPlan& plan) {
  const ModelFile* found = plan.model->FindFile(file);
  if (found == nullptr) return absl::NotFoundError(fmt::format("there is no file {} in the model", Quote(file)));
  const std::int64_t size = found->file->size_bytes();
  PlannedRead planned{.name = found->name,
                      .dtype = {},
                      .file = found->file,
                      .source_offset = 0,
                      .source_size_bytes = size,
                      .slice = SlicePlan::Whole(std::span(&size, 1), size)};
  plan.header.set_digest(found->digest);
  plan.header.set_instance(found->file->instance());
  const absl::Status added = Add(std::move(planned), read_offset, read_limit, plan);
  return added.ok() ? added : WithSubject("file", file, added);
}

absl::StatusOr<StreamPlan> PlanOneRead(const Catalog& catalog, const std::string& model, const std::string& generation,
                                       const v1::Read& read) {
  absl::StatusOr<std::shared_ptr<const Model>> found = FindModel(catalog, model, generation);
  if (!found.ok()) return found.status();
  StreamPlan plan(*std::move(found));
  if (absl::Status status = AddRead(read, plan); !status.ok()) return WithSubject("model", model, status);
  return plan;
}

}  // namespace tensorferry::server
