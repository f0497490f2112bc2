// SPDX-License-Identifier: Apache-2.0
// The CONNECT request: what we write (reference: ztunnel src/proxy/outbound.rs @62d8265) and what
// we accept.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"

namespace groundwire {

/// What the server reads of a CONNECT; everything else is counted against the bound and forgotten.
struct HboneRequest {
  std::string method;
  std::string authority;
  std::string traceparent;
  size_t header_bytes = 0;
};

struct HboneHeader {
  std::string name;
  std::string value;
};

/// `host:port`: the host an IP literal or a hostname.
struct HboneAuthority {
  /// Set for an IP literal, with the port.
  std::optional<SocketAddress> address;
  std::string hostname;
  uint16_t port = 0;

  /// nullopt: not an authority of a CONNECT (RFC 9110 9.3.6: both host and port are needed).
  static std::optional<HboneAuthority> Parse(std::string_view text);
};

std::vector<HboneHeader> MakeConnectHeaders(const std::string& authority,
                                            const std::string& baggage, const SocketAddress& client,
                                            const std::string& service_hostname,
                                            const std::string& traceparent);

}  // namespace groundwire
