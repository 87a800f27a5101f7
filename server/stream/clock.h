// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_CLOCK_H_
#define TENSORFERRY_SERVER_STREAM_CLOCK_H_

#include <chrono>
#include <functional>

namespace tensorferry::server {

using SteadyTime = std::chrono::steady_clock::time_point;

// Returns the time. Tests inject their own.
using SteadyClock = std::function<SteadyTime()>;

inline SteadyClock SystemSteadyClock() { return &std::chrono::steady_clock::now; }

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_CLOCK_H_
