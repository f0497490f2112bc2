// SPDX-License-Identifier: Apache-2.0
#include "dns_message.h"

namespace groundwire {
namespace {

constexpr uint8_t kResponseBit = 0x80;  // of byte 2
constexpr uint8_t kServfail = 2;
constexpr size_t kTypeAndClassBytes = 4;

/// Where the first question ends; 0: it does not.
size_t EndOfQuestion(std::span<const uint8_t> message) {
  size_t at = kDnsHeaderBytes;
  while (at < message.size()) {
    const uint8_t length = message[at];
    // A compression pointer has nothing to point back to in a first question.
    if ((length & 0xc0) != 0) return 0;
    at += size_t{1} + length;
    if (length == 0) return at + kTypeAndClassBytes <= message.size() ? at + kTypeAndClassBytes : 0;
  }
  return 0;
}

}  // namespace

std::optional<std::vector<uint8_t>> DnsFrames::Next() {
  if (buffer_.size() < 2) return std::nullopt;
  const size_t length = static_cast<size_t>(buffer_[0] << 8 | buffer_[1]);
  if (buffer_.size() < 2 + length) return std::nullopt;
  const auto begin = buffer_.begin() + 2;
  const auto end = begin + static_cast<std::ptrdiff_t>(length);
  std::vector<uint8_t> message(begin, end);
  buffer_.erase(buffer_.begin(), end);
  return message;
}

std::vector<uint8_t> WithLength(std::span<const uint8_t> message) {
  std::vector<uint8_t> frame;
  frame.reserve(message.size() + 2);
  frame.push_back(static_cast<uint8_t>(message.size() >> 8));
  frame.push_back(static_cast<uint8_t>(message.size()));
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

std::optional<std::vector<uint8_t>> MakeServfail(std::span<const uint8_t> query) {
  if (query.size() < kDnsHeaderBytes || (query[2] & kResponseBit) != 0) return std::nullopt;
  const size_t end = EndOfQuestion(query);
  if (end == 0) return std::nullopt;
  std::vector<uint8_t> answer(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(end));
  answer[2] = static_cast<uint8_t>(answer[2] | kResponseBit);
  answer[3] = kServfail;
  answer[4] = 0;
  answer[5] = 1;  // One question, and no records: what followed was cut off.
  for (size_t i = 6; i < kDnsHeaderBytes; ++i) answer[i] = 0;
  return answer;
}

bool IsAnswerTo(std::span<const uint8_t> query, std::span<const uint8_t> answer) {
  return query.size() >= kDnsHeaderBytes && answer.size() >= kDnsHeaderBytes && answer[0] == query[0] &&
         answer[1] == query[1] && (answer[2] & kResponseBit) != 0;
}

}  // namespace groundwire
