// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/retry_info.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <cstdint>

#include "absl/strings/cord.h"

namespace tensorferry::wire {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

constexpr char kTypeUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

// Debian has no headers for these two messages, so they are encoded field by field.
// google.rpc.Status: int32 code = 1, string message = 2, repeated google.protobuf.Any details = 3.
constexpr int kStatusCode = 1;
constexpr int kStatusMessage = 2;
constexpr int kStatusDetails = 3;
// google.rpc.RetryInfo: google.protobuf.Duration retry_delay = 1.
constexpr int kRetryDelay = 1;

// Returns the bytes of `field`, or null if it has another number or type.
const std::string* BytesOf(const UnknownField& field, int number) {
  const bool fits = field.number() == number && field.type() == UnknownField::TYPE_LENGTH_DELIMITED;
  return fits ? &field.length_delimited() : nullptr;
}

}  // namespace

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  google::protobuf::Duration duration;
  duration.set_seconds(absl::IDivDuration(delay, absl::Seconds(1), &delay));
  duration.set_nanos(static_cast<std::int32_t>(absl::ToInt64Nanoseconds(delay)));
  UnknownFieldSet info;
  info.AddLengthDelimited(kRetryDelay, duration.SerializeAsString());
  std::string bytes;
  info.SerializeToString(&bytes);
  status.SetPayload(kTypeUrl, absl::Cord(bytes));
  return status;
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kTypeUrl);
  UnknownFieldSet info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  for (int i = 0; i < info.field_count(); ++i) {
    google::protobuf::Duration duration;
    const std::string* bytes = BytesOf(info.field(i), kRetryDelay);
    if (bytes == nullptr || !duration.ParseFromString(*bytes)) continue;
    const absl::Duration delay = absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
    if (delay >= absl::ZeroDuration()) return delay;
  }
  return std::nullopt;
}

std::string EncodeRetryDetails(const absl::Status& status, const std::string& message) {
  const auto payload = status.GetPayload(kTypeUrl);
  if (!payload) return {};
  google::protobuf::Any any;
  any.set_type_url(kTypeUrl);
  any.set_value(std::string(*payload));
  UnknownFieldSet details;
  details.AddVarint(kStatusCode, static_cast<std::uint64_t>(status.code()));
  details.AddLengthDelimited(kStatusMessage, message);
  details.AddLengthDelimited(kStatusDetails, any.SerializeAsString());
  std::string bytes;
  details.SerializeToString(&bytes);
  return bytes;
}

void DecodeRetryDetails(const std::string& details, absl::Status& status) {
  UnknownFieldSet fields;
  if (details.empty() || !fields.ParseFromString(details)) return;
  for (int i = 0; i < fields.field_count(); ++i) {
    google::protobuf::Any any;
    const std::string* bytes = BytesOf(fields.field(i), kStatusDetails);
    if (bytes == nullptr || !any.ParseFromString(*bytes) || any.type_url() != kTypeUrl) continue;
    status.SetPayload(kTypeUrl, absl::Cord(any.value()));
  }
}

}  // namespace tensorferry::wire
