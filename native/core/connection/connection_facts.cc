// SPDX-License-Identifier: Apache-2.0
#include "connection/connection_facts.h"

#include <utility>

namespace groundwire {

msg::Connection ConnectionFacts::Describe(const RelayBytes& bytes) const {
  msg::Connection live;
  live.id = id;
  live.direction = direction;
  live.pod = pod;
  live.hop = hop;
  live.security = security;
  live.source = source;
  live.original_dst = original_dst;
  live.next_hop = next_hop;
  live.source_identity = source_identity;
  live.destination_identity = destination_identity;
  live.verdict = verdict;
  live.bytes_sent = bytes.sent;
  live.bytes_received = bytes.received;
  live.started_ms = started_ms;
  return live;
}

msg::ConnectionClosed ConnectionFacts::Close(ErrorCode code, const RelayBytes& bytes,
                                             uint64_t duration_us) && {
  msg::ConnectionClosed record;
  record.id = id;
  record.opened = opened;
  record.direction = direction;
  record.pod = pod;
  record.hop = hop;
  record.security = security;
  record.code = static_cast<uint16_t>(code);
  record.hbone_status = hbone_status;
  record.source = source;
  record.original_dst = original_dst;
  record.next_hop = next_hop;
  record.hbone_authority = std::move(hbone_authority);
  record.source_identity = std::move(source_identity);
  record.destination_identity = std::move(destination_identity);
  record.verdict = verdict;
  record.flow_label = flow_label;
  record.peer_label = peer_label;
  record.bytes_sent = bytes.sent;
  record.bytes_received = bytes.received;
  record.duration_us = duration_us;
  record.started_ms = started_ms;
  record.traceparent = std::move(traceparent);
  record.detail = std::move(detail);
  return record;
}

}  // namespace groundwire
