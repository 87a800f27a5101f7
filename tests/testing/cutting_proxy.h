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

// A TCP proxy in this process. It passes everything to a server, and a limited number of bytes back.
class CuttingProxy {
 public:
  enum class How {
    kClose,  // closes the connection after all passed bytes
    kReset,  // resets the connection; passed bytes may be lost
    kStall,  // passes nothing more
    kFlip,   // flips a bit of the next byte, and continues
  };
  // The fault of a connection, after this many bytes from the server.
  struct Fate {
    std::int64_t after_bytes = 0;
    How how = How::kClose;
  };
  // Returns the fault of a connection, or nothing for no fault. Connections are numbered from 0. Called on a thread of
  // the proxy.
  using ChooseFate = std::function<std::optional<Fate>(int connection)>;

  // `server` is host:port, with an IPv4 address for the host.
  CuttingProxy(const std::string& server, ChooseFate choose_fate);
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;
  // Closes all connections.
  ~CuttingProxy();

  const std::string& address() const { return address_; }
  // Returns the number of connections that had their fault.
  int faults() const { return faults_; }
  // Returns the bytes that passed from the server, over all connections.
  std::int64_t passed_bytes() const { return passed_bytes_; }

 private:
  void Accept();
  void Pass(int connection, UniqueFd client, UniqueFd server);
  // Passes bytes both ways until the fault. Returns false if an end closed the connection before.
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
