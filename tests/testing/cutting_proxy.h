// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_CUTTING_PROXY_H_
#define TENSORFERRY_TESTS_TESTING_CUTTING_PROXY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "lib/files/unique_fd.h"

namespace tensorferry::test {

// A TCP proxy in this process that passes everything to a server, and back so much of it.
class CuttingProxy {
 public:
  enum class How {
    kClose,  // all that was passed arrives, then the end
    kReset,  // of what was passed some may be lost, too
    kStall,  // nothing more comes
    kFlip,   // a bit of the byte behind is another, and the connection lives on
  };
  // What happens to a connection after so many bytes came back.
  struct Fate {
    std::int64_t after_bytes = 0;
    How how = How::kClose;
  };
  // Asked for each connection, which are counted from 0; one without a fate lives on. Called from a thread of the
  // proxy.
  using ChooseFate = std::function<std::optional<Fate>(int connection)>;

  // `server` is host:port, with an IPv4 address for the host.
  CuttingProxy(const std::string& server, ChooseFate choose_fate);
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;
  // Closes everything.
  ~CuttingProxy();

  const std::string& address() const { return address_; }
  // How many connections met their fate.
  int faults() const { return faults_; }
  // How many bytes came back over all connections.
  std::int64_t passed_bytes() const { return passed_bytes_; }

 private:
  void Accept();
  void Pass(int connection, UniqueFd client, UniqueFd server);
  // Passes bytes both ways until the fate strikes; false: an end closed before.
  bool PassUntil(const std::optional<Fate>& fate, int client, int server);
  void Strike(How how, int client, int server);
  bool Wait(int client, int server, bool& client_ready, bool& server_ready) const;

  const std::uint16_t server_port_;
  const ChooseFate choose_fate_;
  UniqueFd listener_;
  std::string address_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> faults_ = 0;
  std::atomic<std::int64_t> passed_bytes_ = 0;
  std::vector<std::jthread> connections_;  // of the accepting thread
  std::jthread accepting_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_CUTTING_PROXY_H_
