// SPDX-License-Identifier: Apache-2.0
//
// tensorferry_sample_model DIR: writes a small sharded model into DIR. The files are the same in every run.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "lib/files/atomic_file.h"
#include "tensorferry/dtype.h"
#include "tensorferry/safetensors/writer.h"

namespace tensorferry {
namespace {

struct SampleTensor {
  std::string_view name;
  Dtype dtype;
  std::vector<std::int64_t> shape;
};

struct Shard {
  std::string_view file;
  std::vector<SampleTensor> tensors;
};

std::vector<Shard> Shards() {
  return {{"model-00001-of-00002.safetensors",
           {{"model.embed_tokens.weight", Dtype::kBf16, {4096, 512}},
            {"model.layers.0.input_layernorm.weight", Dtype::kF32, {512}},
            {"model.layers.0.mlp.up_proj.weight", Dtype::kBf16, {2048, 512}},
            {"model.layers.0.mlp.up_proj.weight_scale", Dtype::kF64, {}},
            {"model.layers.0.self_attn.qkv_proj.weight", Dtype::kF16, {1536, 512}}}},
          {"model-00002-of-00002.safetensors",
           {{"lm_head.weight", Dtype::kF32, {4096, 512}},
            {"model.layers.1.mlp.up_proj.weight", Dtype::kF8E4M3, {2048, 512}},
            {"model.layers.1.self_attn.mask", Dtype::kBool, {128, 128}},
            {"model.layers.1.self_attn.qkv_proj.weight", Dtype::kI8, {1536, 512}},
            {"model.position_ids", Dtype::kI64, {1, 4096}}}}};
}

std::size_t SizeBytes(const SampleTensor& tensor) {
  std::int64_t bits = BitWidth(tensor.dtype);
  for (const std::int64_t size : tensor.shape) bits *= size;
  return static_cast<std::size_t>(bits / 8);
}

// Returns pseudorandom bytes, a function of the tensor's name.
std::vector<std::byte> Content(const SampleTensor& tensor) {
  std::uint64_t state = 0;
  for (const char c : tensor.name) state = state * 31 + static_cast<unsigned char>(c);
  const std::byte mask{tensor.dtype == Dtype::kBool ? std::uint8_t{1} : std::uint8_t{0xff}};
  std::vector<std::byte> content(SizeBytes(tensor));
  for (std::byte& byte : content) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(state >> 56) & mask;
  }
  return content;
}

absl::Status WriteShard(const std::string& path, const Shard& shard) {
  std::vector<std::vector<std::byte>> contents;
  for (const SampleTensor& tensor : shard.tensors) contents.push_back(Content(tensor));
  std::vector<safetensors::TensorToWrite> tensors;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const SampleTensor& tensor = shard.tensors[i];
    tensors.push_back({std::string(tensor.name), tensor.dtype, tensor.shape, contents[i]});
  }
  return safetensors::WriteFile(path, tensors, {{"format", "pt"}});
}

absl::Status WriteText(const std::string& path, std::string_view text) {
  auto file = AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  if (absl::Status status = file->Append(std::as_bytes(std::span(text))); !status.ok()) return status;
  return file->Commit();
}

std::string IndexJson(const std::vector<Shard>& shards) {
  std::size_t total = 0;
  std::string entries;
  for (const Shard& shard : shards) {
    for (const SampleTensor& tensor : shard.tensors) {
      total += SizeBytes(tensor);
      entries += fmt::format("{}\n    \"{}\": \"{}\"", entries.empty() ? "" : ",", tensor.name, shard.file);
    }
  }
  return fmt::format("{{\n  \"metadata\": {{\"total_size\": {}}},\n  \"weight_map\": {{{}\n  }}\n}}\n", total, entries);
}

absl::Status WriteSampleModel(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return absl::UnavailableError(fmt::format("cannot create {}: {}", directory.string(), error.message()));
  }
  const std::vector<Shard> shards = Shards();
  for (const Shard& shard : shards) {
    if (absl::Status status = WriteShard(directory / shard.file, shard); !status.ok()) return status;
  }
  if (absl::Status status = WriteText(directory / "model.safetensors.index.json", IndexJson(shards)); !status.ok()) {
    return status;
  }
  return WriteText(directory / "config.json",
                   "{\n  \"model_type\": \"sample\",\n  \"hidden_size\": 512,\n  \"num_hidden_layers\": 2,\n"
                   "  \"vocab_size\": 4096\n}\n");
}

}  // namespace
}  // namespace tensorferry

int main(int argc, char** argv) {
  const std::string_view directory = argc == 2 ? argv[1] : "";
  if (directory.empty() || directory.starts_with('-')) {
    const bool help = directory == "--help" || directory == "-h";
    fmt::print(help ? stdout : stderr,
               "usage: tensorferry_sample_model DIR\n\nWrites a small sharded model into DIR.\n");
    return help ? 0 : 2;
  }
  const absl::Status status = tensorferry::WriteSampleModel(argv[1]);
  if (status.ok()) return 0;
  fmt::print(stderr, "tensorferry_sample_model: {}\n", std::string(status.message()));
  return 1;
}
