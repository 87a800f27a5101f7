// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/pem.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/files/file_io.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;

absl::Status Error(const Pem& pem, std::string_view reason) {
  return absl::InvalidArgumentError(fmt::format("file {}: {}", Quote(pem.path), reason));
}

Bio Open(const Pem& pem) { return Bio(BIO_new_mem_buf(pem.text.data(), static_cast<int>(pem.text.size()))); }

// Without this callback, OpenSSL asks for a password on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

// Returns true if reading ended because no further certificate follows, and false after a parse error.
bool AtEnd() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

absl::StatusOr<std::vector<Certificate>> ReadCertificates(const Pem& pem) {
  const Bio bio = Open(pem);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const bool at_end = AtEnd();
  ERR_clear_error();
  if (!at_end) return Error(pem, fmt::format("certificate {} cannot be parsed", certificates.size() + 1));
  if (certificates.empty()) return Error(pem, "contains no certificate; give PEM with \"BEGIN CERTIFICATE\"");
  return certificates;
}

absl::StatusOr<Key> ReadPrivateKey(const Pem& pem) {
  const Bio bio = Open(pem);
  ERR_clear_error();
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (key != nullptr) return key;
  if (pem.text.find("PRIVATE KEY-----") == std::string::npos) {
    return Error(pem, "contains no private key; give PEM with \"BEGIN PRIVATE KEY\"");
  }
  return Error(pem, "private key cannot be read: give one that is intact and not encrypted with a password");
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm fields = {};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfiniteFuture();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<Pem> ReadPem(const std::string& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxPemBytes);
  if (!text.ok()) return text.status();
  return Pem{.path = path, .text = *std::move(text)};
}

absl::StatusOr<Validity> CheckKeyPair(const Pem& certificate, const Pem& private_key) {
  const absl::StatusOr<std::vector<Certificate>> chain = ReadCertificates(certificate);
  if (!chain.ok()) return chain.status();
  const absl::StatusOr<Key> key = ReadPrivateKey(private_key);
  if (!key.ok()) return key.status();
  X509* const leaf = chain->front().get();
  const bool matches = X509_check_private_key(leaf, key->get()) == 1;
  ERR_clear_error();
  if (!matches) {
    return Error(private_key,
                 fmt::format("private key does not match the first certificate in {}", Quote(certificate.path)));
  }
  return Validity{.not_before = ToTime(X509_get0_notBefore(leaf)), .not_after = ToTime(X509_get0_notAfter(leaf))};
}

absl::Status CheckAuthorities(const Pem& authorities) { return ReadCertificates(authorities).status(); }

}  // namespace tensorferry
