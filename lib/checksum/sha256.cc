// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace tensorferry {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) { EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr); }
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::Add(std::span<const std::byte> data) { EVP_DigestUpdate(state_->context, data.data(), data.size()); }

void Sha256::AddText(std::string_view text) {
  const std::string size = std::to_string(text.size()) + ':';
  Add(std::as_bytes(std::span(size)));
  Add(std::as_bytes(std::span(text)));
}

std::string Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &size);
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
}

}  // namespace tensorferry
