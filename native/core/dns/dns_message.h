// SPDX-License-Identifier: Apache-2.0
// As much of DNS as a relay needs: the frames of TCP, and a refusal made of the query. Names are
// TypeScript's business.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace groundwire {

inline constexpr size_t kDnsHeaderBytes = 12;
/// The largest query that is carried, over UDP and TCP. A question, its options, padding (RFC 8467)
/// and a signature need a fraction of it; without a bound one pod's queries could be 64 KiB each.
inline constexpr size_t kDnsQueryBytesMax = 4096;

/// Cuts a TCP byte stream into messages (RFC 1035 4.2.2: two bytes of length). Bounded by the
/// length field: 64 KiB.
class DnsFrames {
 public:
  void Append(std::span<const uint8_t> bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
  /// The next whole message; nullopt: not there yet.
  std::optional<std::vector<uint8_t>> Next();

 private:
  std::vector<uint8_t> buffer_;
};

/// Whether it is long enough for a message of DNS, and not an answer.
bool IsQuery(std::span<const uint8_t> message);
std::vector<uint8_t> WithLength(std::span<const uint8_t> message);
/// What a relay itself says of a query that gets no answer (RFC 1035 4.1.1).
enum class DnsRefusal : uint8_t { kFormatError = 1, kServfail = 2 };
/// Refuses that query, with its question where it has just one; empty when it is no query.
std::vector<uint8_t> MakeRefusal(std::span<const uint8_t> query, DnsRefusal code);
/// Whether `answer` is an answer with the id and the question of `query`. Names compare without
/// case; who made the case random to know his answers by it compares it himself. An answer may
/// leave the question out when it has no records.
bool IsAnswerTo(std::span<const uint8_t> query, std::span<const uint8_t> answer);
/// SERVFAIL, NOTIMP or REFUSED: of no use as long as there is another resolver.
bool IsRefusal(std::span<const uint8_t> answer);
/// How much the client takes by UDP: 512 bytes (RFC 1035 4.2.1) or what its OPT record says (RFC
/// 6891 6.2.3).
size_t UdpLimitOf(std::span<const uint8_t> query);
/// The answer without its records and with the bit that makes the client ask again over TCP.
std::vector<uint8_t> Truncate(std::span<const uint8_t> answer);

}  // namespace groundwire
