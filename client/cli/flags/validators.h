// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_FLAGS_VALIDATORS_H_
#define TENSORFERRY_CLIENT_CLI_FLAGS_VALIDATORS_H_

#include <CLI/Validators.hpp>
#include <cstdint>

namespace tensorferry::cli {

// Accepts a time of at least `min_seconds`: a number of seconds, or numbers with the units ms, s, m and h. Used with
// Option::transform, which then stores seconds.
CLI::Validator Seconds(double min_seconds);

// Accepts whole numbers from `min` to `max`.
CLI::Validator WholeNumber(std::int64_t min, std::int64_t max);

// Rejects the empty value, which a shell variable that is not set leaves: it must not mean "without TLS".
CLI::Validator NotEmpty();

// Accepts an address, or several with commas between them, as Client::Connect takes them. Used with Option::transform,
// which then stores them as ParseServerAddress returns them.
CLI::Validator ServerAddresses();

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_FLAGS_VALIDATORS_H_
