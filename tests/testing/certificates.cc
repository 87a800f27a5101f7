// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace tensorferry::test {
namespace {

// Failures here end the test program, because no test is about them.
template <typename T>
T* Must(T* pointer) {
  if (pointer == nullptr) {
    std::fputs("OpenSSL failed in a test's preparation\n", stderr);
    std::abort();
  }
  return pointer;
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

std::string ToPem(X509* certificate) {
  BIO* const bio = Must(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio, certificate);
  return Text(bio);
}

std::string ToPem(EVP_PKEY* key) {
  BIO* const bio = Must(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  return Text(bio);
}

void AddExtension(X509* certificate, int kind, const char* value) {
  X509_EXTENSION* const extension = Must(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value));
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* NewCertificate(const std::string& name, EVP_PKEY* key, std::chrono::seconds lifetime) {
  static std::atomic<long> serial = 1;
  X509* const certificate = Must(X509_new());
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -7 * 24 * 3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), static_cast<long>(lifetime.count()));
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return certificate;
}

}  // namespace

struct Authority::State {
  explicit State(const std::string& name)
      : key(Must(EVP_EC_gen("P-256"))), certificate(NewCertificate(name, key, std::chrono::hours(24))) {
    AddExtension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_sign(certificate, key, EVP_sha256());
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }

  EVP_PKEY* const key;
  X509* const certificate;
};

Authority::Authority(const std::string& name)
    : state_(std::make_unique<State>(name)), certificate_(ToPem(state_->certificate)) {}

Authority::~Authority() = default;

IssuedCertificate Authority::Issue(const std::string& name, std::chrono::seconds lifetime) const {
  EVP_PKEY* const key = Must(EVP_EC_gen("P-256"));
  X509* const certificate = NewCertificate(name, key, lifetime);
  AddExtension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  X509_set_issuer_name(certificate, X509_get_subject_name(state_->certificate));
  X509_sign(certificate, state_->key, EVP_sha256());
  const IssuedCertificate issued = {.certificate = ToPem(certificate), .private_key = ToPem(key)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return issued;
}

}  // namespace tensorferry::test
