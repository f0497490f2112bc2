// SPDX-License-Identifier: Apache-2.0
#include "verdicts/verdict_cache.h"

#include <functional>
#include <string_view>
#include <utility>

namespace groundwire {
namespace {

constexpr uint8_t kMaskCount = 16;

size_t Mix(size_t hash, size_t value) { return (hash ^ value) * 0x9e3779b97f4a7c15ULL; }

/// A hostname authority names a service, whose port may lead elsewhere; it is told apart even when
/// the evaluator did not look, or an answer for the pod's address would be taken for it.
uint8_t MaskOf(const msg::InboundAnswer& answer) {
  return static_cast<uint8_t>((answer.consulted | msg::BitOf(msg::ConsultedField::kAuthority)) &
                              (kMaskCount - 1));
}

bool Consulted(uint8_t mask, msg::ConsultedField field) { return (mask & msg::BitOf(field)) != 0; }

}  // namespace

InboundKey InboundKey::Masked(uint8_t consulted) const {
  InboundKey masked;
  masked.pod = pod;
  masked.security = security;
  if (Consulted(consulted, msg::ConsultedField::kIdentity)) masked.identity = identity;
  if (Consulted(consulted, msg::ConsultedField::kSourceAddress)) masked.source = source;
  if (Consulted(consulted, msg::ConsultedField::kDestinationPort)) masked.port = port;
  if (Consulted(consulted, msg::ConsultedField::kAuthority)) masked.authority = authority;
  return masked;
}

uint16_t DeliverPortOf(const msg::InboundAnswer& answer, uint16_t destination_port,
                       const std::string& authority) {
  const bool answered =
      Consulted(answer.consulted, msg::ConsultedField::kDestinationPort) || !authority.empty();
  return answered && answer.deliver_port != 0 ? answer.deliver_port : destination_port;
}

size_t VerdictKeyHash::operator()(const OutboundKey& key) const {
  return Mix(HashOf(key.original_dst), key.pod);
}

size_t VerdictKeyHash::operator()(const InboundKey& key) const {
  size_t hash = Mix(HashOf(SocketAddress{key.source, key.port}), key.pod);
  hash = Mix(hash, static_cast<size_t>(key.security));
  hash = Mix(hash, std::hash<std::string_view>{}(key.identity));
  return Mix(hash, std::hash<std::string_view>{}(key.authority));
}

OutboundVerdict VerdictCache::Find(const OutboundKey& key) const {
  const OutboundVerdict* found = outbound_.Find(key);
  return found == nullptr ? nullptr : *found;
}

InboundVerdict VerdictCache::Find(const InboundKey& key) const {
  const auto masks = masks_.find(key.pod);
  if (masks == masks_.end()) return nullptr;
  for (uint8_t mask = 0; mask < kMaskCount; ++mask) {
    if ((masks->second >> mask & 1) == 0) continue;
    // An answer that consulted few fields holds whatever the others are; but the same blank key
    // under another mask would be another answer, so the mask is compared too.
    const InboundVerdict* found = inbound_.Find(key.Masked(mask));
    if (found != nullptr && MaskOf(**found) == mask) return *found;
  }
  return nullptr;
}

size_t VerdictCache::Put(const OutboundKey& key, OutboundVerdict verdict) {
  return outbound_.Put(key, std::move(verdict));
}

size_t VerdictCache::Put(const InboundKey& key, InboundVerdict verdict) {
  const uint8_t mask = MaskOf(*verdict);
  masks_[key.pod] = static_cast<uint16_t>(masks_[key.pod] | 1U << mask);
  return inbound_.Put(key.Masked(mask), std::move(verdict));
}

size_t VerdictCache::Invalidate(const std::unordered_set<uint64_t>& verdicts) {
  const auto named = [&verdicts](const auto& verdict) {
    return verdicts.contains(verdict->verdict);
  };
  return outbound_.EraseIf(named) + inbound_.EraseIf(named);
}

void VerdictCache::ForgetPod(uint32_t pod) {
  outbound_.ErasePod(pod);
  inbound_.ErasePod(pod);
  masks_.erase(pod);
}

}  // namespace groundwire
