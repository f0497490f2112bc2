// SPDX-License-Identifier: Apache-2.0
#include "verdicts/inbound_kind.h"

#include <functional>
#include <string_view>

namespace groundwire {
namespace {

bool Consulted(uint8_t mask, msg::ConsultedField field) { return (mask & msg::BitOf(field)) != 0; }

}  // namespace

InboundKey InboundKind::KeyOf(const Question& question) {
  return {question.pod,       question.security,         question.identity,
          question.source.ip, question.destination.port, question.authority,
          question.service};
}

uint8_t InboundKind::MaskOf(const Answer& answer) {
  return static_cast<uint8_t>((answer.consulted | msg::BitOf(msg::ConsultedField::kAuthority)) &
                              (kMasks - 1));
}

InboundKey InboundKind::Masked(const Key& key, uint8_t mask) {
  InboundKey masked;
  masked.pod = key.pod;
  masked.security = key.security;
  if (Consulted(mask, msg::ConsultedField::kIdentity)) masked.identity = key.identity;
  if (Consulted(mask, msg::ConsultedField::kSourceAddress)) masked.source = key.source;
  if (Consulted(mask, msg::ConsultedField::kDestinationPort)) masked.port = key.port;
  if (Consulted(mask, msg::ConsultedField::kAuthority)) masked.authority = key.authority;
  if (Consulted(mask, msg::ConsultedField::kService)) masked.service = key.service;
  return masked;
}

size_t InboundKind::Hash(const Key& key) {
  size_t hash = MixHash(HashOf(SocketAddress{key.source, key.port}), key.pod);
  hash = MixHash(hash, static_cast<size_t>(key.security));
  hash = MixHash(hash, std::hash<std::string_view>{}(key.identity));
  hash = MixHash(hash, std::hash<std::string_view>{}(key.authority));
  return MixHash(hash, std::hash<std::string_view>{}(key.service));
}

uint16_t DeliverPortOf(const msg::InboundAnswer& answer, uint16_t destination_port,
                       const std::string& authority) {
  const bool answered =
      Consulted(answer.consulted, msg::ConsultedField::kDestinationPort) || !authority.empty();
  return answered && answer.deliver_port != 0 ? answer.deliver_port : destination_port;
}

}  // namespace groundwire
