// SPDX-License-Identifier: Apache-2.0
// HTTP/2 frames made and taken apart by hand, independent of the library under test (RFC 9113
// section 4 and 6).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace groundwire::http2 {

enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8
};
inline constexpr uint8_t kEndStream = 1;
inline constexpr uint8_t kAck = 1;
inline constexpr uint8_t kEndHeaders = 4;
inline const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string U32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}
inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame = U32(static_cast<uint32_t>(payload.size())).substr(1);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  return frame + U32(stream) + payload;
}
/// A literal header field without indexing, strings shorter than 127 bytes (RFC 7541 6.2.2).
inline std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}
inline std::string Connect(uint32_t stream, const std::string& authority,
                           const std::string& more = "") {
  return Frame(kHeaders, kEndHeaders, stream,
               Header(":method", "CONNECT") + Header(":authority", authority) + more);
}

struct Seen {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
};
/// Whole frames of `bytes`, which may begin with a client's preface.
inline std::vector<Seen> Split(std::string bytes) {
  if (bytes.starts_with(kPreface)) bytes.erase(0, kPreface.size());
  std::vector<Seen> frames;
  const auto at = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])); };
  while (bytes.size() >= 9) {
    const size_t size = at(0) << 16 | at(1) << 8 | at(2);
    if (bytes.size() < 9 + size) break;
    frames.push_back({static_cast<uint8_t>(at(3)), static_cast<uint8_t>(at(4)),
                      at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8), bytes.substr(9, size)});
    bytes.erase(0, 9 + size);
  }
  return frames;
}

}  // namespace groundwire::http2
