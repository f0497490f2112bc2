// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/address.h"
#include "port/messages.gen.h"
#include "verdicts/verdict.h"

namespace groundwire {

/// What an inbound decision may depend on. In the cache, the fields that were not consulted are
/// blank.
struct InboundKey {
  uint32_t pod = 0;
  msg::Security security{};
  std::string identity;
  IpAddress source;
  uint16_t port = 0;
  std::string authority;
  /// Host name of the Service that the source says it dialled.
  std::string service;
  bool operator==(const InboundKey&) const = default;
};

/// Whether a connection reaches a captured pod, and which port of it. An answer says which fields of
/// its key it looked at.
struct InboundKind {
  using Question = msg::InboundQuestion;
  using Answer = msg::InboundAnswer;
  using Key = InboundKey;
  static constexpr uint8_t kMasks = 32;

  static Key KeyOf(const Question& question);
  /// A hostname authority names a service, whose port may lead elsewhere; it is told apart even when
  /// the evaluator did not look, or an answer for the pod's address would be taken for it.
  static uint8_t MaskOf(const Answer& answer);
  static Key Masked(const Key& key, uint8_t mask);
  static size_t Hash(const Key& key);
};

using InboundVerdict = Verdict<InboundKind>;

/// Where an allowed connection is delivered. An answer that did not look at the port holds for all
/// of them, so then it is the connection's own; a hostname authority names a service, whose target
/// port only the answer knows.
uint16_t DeliverPortOf(const msg::InboundAnswer& answer, uint16_t destination_port,
                       const std::string& authority);

}  // namespace groundwire
