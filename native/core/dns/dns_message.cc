// SPDX-License-Identifier: Apache-2.0
#include "dns/dns_message.h"

#include <algorithm>

namespace groundwire {
namespace {

constexpr uint8_t kResponseBit = 0x80;  // of byte 2
constexpr uint8_t kTruncatedBit = 0x02;
constexpr uint8_t kOpcodeBits = 0x78;
constexpr uint8_t kRecursionDesiredBit = 0x01;
constexpr uint8_t kResponseCodeBits = 0x0f;  // of byte 3
constexpr uint8_t kServfail = 2;
constexpr uint8_t kNotImplemented = 4;
constexpr uint8_t kRefused = 5;
// Where the numbers of questions and of the three kinds of records stand.
constexpr size_t kQuestions = 4;
constexpr size_t kAnswers = 6;
constexpr size_t kAdditionals = 10;
constexpr uint16_t kOpt = 41;
constexpr size_t kUdpBytesMin = 512;
constexpr size_t kTypeAndClassBytes = 4;

uint16_t U16At(std::span<const uint8_t> message, size_t at) {
  return static_cast<uint16_t>(message[at] << 8 | message[at + 1]);
}

uint8_t LowerCase(uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<uint8_t>(c - 'A' + 'a') : c;
}

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

bool IsQuery(std::span<const uint8_t> message) {
  return message.size() >= kDnsHeaderBytes && (message[2] & kResponseBit) == 0;
}

std::vector<uint8_t> WithLength(std::span<const uint8_t> message) {
  std::vector<uint8_t> frame;
  frame.reserve(message.size() + 2);
  frame.push_back(static_cast<uint8_t>(message.size() >> 8));
  frame.push_back(static_cast<uint8_t>(message.size()));
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

std::vector<uint8_t> MakeRefusal(std::span<const uint8_t> query, DnsRefusal code) {
  if (!IsQuery(query)) return {};
  const size_t end = U16At(query, kQuestions) == 1 ? EndOfQuestion(query) : 0;
  std::vector<uint8_t> answer(
      query.begin(), query.begin() + static_cast<std::ptrdiff_t>(end == 0 ? kDnsHeaderBytes : end));
  answer[2] =
      static_cast<uint8_t>(kResponseBit | (answer[2] & (kOpcodeBits | kRecursionDesiredBit)));
  answer[3] = static_cast<uint8_t>(code);
  // At most the question, and no records: what followed was cut off.
  for (size_t i = kQuestions; i < kDnsHeaderBytes; ++i) answer[i] = 0;
  answer[kQuestions + 1] = end == 0 ? 0 : 1;
  return answer;
}

bool IsAnswerTo(std::span<const uint8_t> query, std::span<const uint8_t> answer) {
  if (query.size() < kDnsHeaderBytes || answer.size() < kDnsHeaderBytes) return false;
  if (answer[0] != query[0] || answer[1] != query[1]) return false;
  if ((answer[2] & (kResponseBit | kOpcodeBits)) != (kResponseBit | (query[2] & kOpcodeBits)))
    return false;
  if (U16At(answer, kQuestions) == 0) return U16At(answer, kAnswers) == 0;
  const size_t end = EndOfQuestion(query);
  if (end == 0 || U16At(query, kQuestions) != 1) return false;
  if (U16At(answer, kQuestions) != 1 || answer.size() < end) return false;
  const size_t end_of_name = end - kTypeAndClassBytes;
  for (size_t i = kDnsHeaderBytes; i < end; ++i) {
    const bool same =
        i < end_of_name ? LowerCase(answer[i]) == LowerCase(query[i]) : answer[i] == query[i];
    if (!same) return false;
  }
  return true;
}

bool IsRefusal(std::span<const uint8_t> answer) {
  if (answer.size() < kDnsHeaderBytes) return false;
  const uint8_t code = answer[3] & kResponseCodeBits;
  return code == kServfail || code == kNotImplemented || code == kRefused;
}

size_t UdpLimitOf(std::span<const uint8_t> query) {
  if (query.size() < kDnsHeaderBytes || U16At(query, kAnswers) != 0 ||
      U16At(query, kAnswers + 2) != 0)
    return kUdpBytesMin;
  const size_t end = EndOfQuestion(query);
  // Behind the question: OPT with the root as its name (one byte), its type, and the size where
  // others have their class.
  if (end == 0 || U16At(query, kAdditionals) == 0 || query.size() < end + 5) return kUdpBytesMin;
  if (query[end] != 0 || U16At(query, end + 1) != kOpt) return kUdpBytesMin;
  return std::max<size_t>(U16At(query, end + 3), kUdpBytesMin);
}

std::vector<uint8_t> Truncate(std::span<const uint8_t> answer) {
  if (answer.size() < kDnsHeaderBytes) return {};
  const size_t end = U16At(answer, kQuestions) == 1 ? EndOfQuestion(answer) : 0;
  std::vector<uint8_t> header(
      answer.begin(),
      answer.begin() + static_cast<std::ptrdiff_t>(end == 0 ? kDnsHeaderBytes : end));
  header[2] = static_cast<uint8_t>(header[2] | kTruncatedBit);
  for (size_t i = kQuestions; i < kDnsHeaderBytes; ++i) header[i] = 0;
  header[kQuestions + 1] = end == 0 ? 0 : 1;
  return header;
}

}  // namespace groundwire
