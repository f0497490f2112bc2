// SPDX-License-Identifier: Apache-2.0
#include "base/detail_text.h"

namespace groundwire {
namespace {

constexpr std::string_view kCut = "...";

std::string Escape(char byte) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(byte);
  if (value >= 0x20 && value < 0x7f && value != '\\') return std::string(1, byte);
  return {'\\', 'x', kDigits[value >> 4], kDigits[value & 0xf]};
}

}  // namespace

std::string DetailText(std::string_view text) {
  std::string out;
  size_t whole = 0;  // of `out`, where room for kCut is left
  for (const char byte : text) {
    const std::string next = Escape(byte);
    if (out.size() + next.size() > kDetailBytesMax) return out.substr(0, whole).append(kCut);
    out += next;
    if (out.size() + kCut.size() <= kDetailBytesMax) whole = out.size();
  }
  return out;
}

}  // namespace groundwire
