// SPDX-License-Identifier: Apache-2.0
// As much of DNS as a relay needs: the frames of TCP, and a refusal made of the query. Names are TypeScript's business.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace groundwire {

inline constexpr size_t kDnsHeaderBytes = 12;

/// Cuts a TCP byte stream into messages (RFC 1035 4.2.2: two bytes of length). Bounded by the length field: 64 KiB.
class DnsFrames {
 public:
  void Append(std::span<const uint8_t> bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }
  /// The next whole message; nullopt: not there yet.
  std::optional<std::vector<uint8_t>> Next();
  size_t buffered() const { return buffer_.size(); }

 private:
  std::vector<uint8_t> buffer_;
};

std::vector<uint8_t> WithLength(std::span<const uint8_t> message);
/// SERVFAIL for that query, with its question; nullopt when the query is not one.
std::optional<std::vector<uint8_t>> MakeServfail(std::span<const uint8_t> query);
/// Whether `answer` is an answer that carries the id of `query`.
bool IsAnswerTo(std::span<const uint8_t> query, std::span<const uint8_t> answer);

}  // namespace groundwire
