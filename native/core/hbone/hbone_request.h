// SPDX-License-Identifier: Apache-2.0
// The CONNECT request: what we write (reference: ztunnel src/proxy/outbound.rs @62d8265) and what
// we accept.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/address.h"
#include "http2/header_list.h"

namespace groundwire {

/// What the server reads of a CONNECT, "" where it is not there; everything else of the list is
/// forgotten. Points into it.
struct HboneRequest {
  explicit HboneRequest(const HeaderList& headers);

  std::string_view method;
  std::string_view authority;
  std::string_view traceparent;
  /// Host name of the Service that the source dialled, as it says in `forwarded` (RFC 7239); "" when
  /// it says none that could be one.
  std::string_view service_hostname;
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

/// The headers of a CONNECT, empty ones left out. The texts must outlive it.
class ConnectHeaders {
 public:
  ConnectHeaders(std::string_view authority, std::string_view baggage, const SocketAddress& client,
                 std::string_view service_hostname, std::string_view traceparent);
  ConnectHeaders(const ConnectHeaders&) = delete;
  ConnectHeaders& operator=(const ConnectHeaders&) = delete;
  std::span<const HeaderView> list() const { return {list_.data(), size_}; }

 private:
  void Append(std::string_view name, std::string_view value) { list_[size_++] = {name, value}; }

  std::string forwarded_;
  std::array<HeaderView, 5> list_;
  size_t size_ = 0;
};

}  // namespace groundwire
