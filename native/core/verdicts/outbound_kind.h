// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/address.h"
#include "port/messages.gen.h"
#include "verdicts/verdict.h"

namespace groundwire {

/// What an outbound decision depends on.
struct OutboundKey {
  uint32_t pod = 0;
  SocketAddress original_dst;
  bool operator==(const OutboundKey&) const = default;
};

/// Where to a captured pod's connection goes. An answer depends on all of its key.
struct OutboundKind {
  using Question = msg::OutboundQuestion;
  using Answer = msg::OutboundAnswer;
  using Key = OutboundKey;
  static constexpr uint8_t kMasks = 1;

  static Key KeyOf(const Question& question) { return {question.pod, question.original_dst}; }
  static uint8_t MaskOf(const Answer&) { return 0; }
  static const Key& Masked(const Key& key, uint8_t) { return key; }
  static size_t Hash(const Key& key) { return MixHash(HashOf(key.original_dst), key.pod); }
};

using OutboundVerdict = Verdict<OutboundKind>;

}  // namespace groundwire
