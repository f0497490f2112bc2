// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

#include "base/address.h"
#include "base/error_code.gen.h"
#include "port/messages.gen.h"
#include "relay/relay.h"

namespace groundwire {

/// What is known of a connection while it lives, from its first packet on. What crosses to
/// TypeScript is made of it, for whoever asks and at the connection's end.
struct ConnectionFacts {
  uint64_t id = 0;
  uint32_t pod = 0;
  msg::Direction direction{};
  msg::HopKind hop{};
  msg::Security security{};
  bool opened = false;
  uint16_t hbone_status = 0;  // 0: there was no answer
  SocketAddress source;
  SocketAddress original_dst;
  SocketAddress next_hop;
  uint32_t flow_label = 0;
  uint32_t peer_label = 0;
  uint64_t verdict = 0;
  uint64_t started_ms = 0;  // of the wall clock
  std::string hbone_authority;
  std::string source_identity;
  std::string destination_identity;
  std::string traceparent;
  std::string detail;  // a DetailText

  msg::Connection Describe(const RelayBytes& bytes) const;
  msg::ConnectionClosed Close(ErrorCode code, const RelayBytes& bytes, uint64_t duration_us) &&;
};

}  // namespace groundwire
