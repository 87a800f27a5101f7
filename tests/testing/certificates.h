// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_CERTIFICATES_H_
#define TENSORFERRY_TESTS_TESTING_CERTIFICATES_H_

#include <chrono>
#include <memory>
#include <string>

namespace tensorferry::test {

// A certificate and its key, in PEM.
struct IssuedCertificate {
  std::string certificate;
  std::string private_key;
};

// An authority that signs certificates for servers on the loopback interface, and for clients.
class Authority {
 public:
  explicit Authority(const std::string& name);
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;
  ~Authority();

  // Returns its own certificate.
  const std::string& certificate() const { return certificate_; }

  // Issues a certificate with this common name, for localhost and 127.0.0.1. With a negative lifetime it has expired.
  IssuedCertificate Issue(const std::string& name, std::chrono::seconds lifetime = std::chrono::hours(24)) const;

 private:
  struct State;

  std::unique_ptr<State> state_;
  std::string certificate_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_CERTIFICATES_H_
