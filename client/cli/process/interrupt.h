// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_PROCESS_INTERRUPT_H_
#define TENSORFERRY_CLIENT_CLI_PROCESS_INTERRUPT_H_

#include <signal.h>

#include <atomic>
#include <stop_token>
#include <thread>

#include "absl/status/status.h"

namespace tensorferry::cli {

// Turns SIGINT, SIGTERM and SIGHUP into a request to stop, so that a command can clean up. Signals that were ignored
// when the program began stay ignored, as nohup and a shell's background jobs need it.
//
// Create at most one, before any other thread: threads inherit the blocked signals.
class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  // Makes the next signal request the stop. Before this call, and at a second signal, the program exits at once.
  void Arm() { armed_ = true; }

  std::stop_token token() const { return source_.get_token(); }

  // Returns true if a signal requested the stop.
  bool requested() const { return source_.stop_requested(); }

  // Returns `status`; its message is "interrupted" if the call was cancelled because of a signal.
  absl::Status Explain(const absl::Status& status) const;

 private:
  void WaitForSignals();

  sigset_t signals_;
  sigset_t mask_before_;
  std::stop_source source_;
  std::atomic<bool> armed_ = false;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_PROCESS_INTERRUPT_H_
