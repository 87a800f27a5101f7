// SPDX-License-Identifier: Apache-2.0
#include "client/cli/process/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <thread>

#include "absl/status/status.h"

namespace tensorferry::cli {
namespace {

bool IsIgnored(int signal_number) {
  struct sigaction action {};
  return ::sigaction(signal_number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Interrupt::Interrupt() {
  ::sigemptyset(&signals_);
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) {
    if (!IsIgnored(signal_number)) ::sigaddset(&signals_, signal_number);
  }
  // The destructor wakes the thread with this one.
  ::sigaddset(&signals_, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &mask_before_);
  thread_ = std::thread([this] { WaitForSignals(); });
}

Interrupt::~Interrupt() {
  done_ = true;
  ::pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

absl::Status Interrupt::Explain(const absl::Status& status) const {
  if (absl::IsCancelled(status) && source_.stop_requested()) return absl::CancelledError("interrupted");
  return status;
}

void Interrupt::WaitForSignals() {
  while (true) {
    int signal_number = 0;
    if (::sigwait(&signals_, &signal_number) != 0) continue;
    if (done_) return;
    if (!armed_ || source_.stop_requested()) {
      constexpr std::string_view kMessage = "tensorferry: interrupted\n";
      [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
      ::_exit(EXIT_FAILURE);
    }
    source_.request_stop();
  }
}

}  // namespace tensorferry::cli
