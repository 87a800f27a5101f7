// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_FLAG_VALUES_H_
#define TENSORFERRY_SERVER_APP_FLAG_VALUES_H_

#include <CLI/App.hpp>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace tensorferry::server {

// Validators of flags' values. Each message repeats the value and says what to give instead.

// A count in [min, max].
CLI::Validator WholeNumber(std::int64_t min, std::int64_t max);

// Seconds in [min, max], without a unit.
CLI::Validator WholeSeconds(std::int64_t min, std::int64_t max);

// A size in [min, max], in bytes or with a suffix for a power of 1024. Replaces the text by the number of bytes.
CLI::Validator Size(std::int64_t min, std::int64_t max);

// One of these words.
CLI::Validator OneOf(std::initializer_list<std::string> words);

// Any text but none: an empty value, perhaps of a shell variable that is not set, must not mean "without TLS" or
// "without tokens".
CLI::Validator NotEmpty();

// Returns the size in the largest unit that divides it, as Size accepts it.
std::string SizeText(std::int64_t bytes);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_FLAG_VALUES_H_
