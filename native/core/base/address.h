// SPDX-License-Identifier: Apache-2.0
// IP addresses, IPv4 stored mapped (::ffff:a.b.c.d), so that one type serves both families.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace groundwire {

struct IpAddress {
  std::array<uint8_t, 16> bytes{};  // network order

  bool is_v4() const;
  bool is_loopback() const;
  bool is_unspecified() const;
  std::string ToString() const;
  static std::optional<IpAddress> Parse(std::string_view text);
  auto operator<=>(const IpAddress&) const = default;
};

struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;  // host order

  std::string ToString() const;  // 10.0.0.1:80, [fd00::1]:80
  static std::optional<SocketAddress> Parse(std::string_view text);
  static SocketAddress FromSockaddr(const sockaddr_storage& storage);
  /// As the family of the address asks; as v4-mapped in6 when `family` is AF_INET6. Returns the
  /// length.
  socklen_t ToSockaddr(int family, sockaddr_storage* storage) const;
  int family() const { return ip.is_v4() ? AF_INET : AF_INET6; }
  auto operator<=>(const SocketAddress&) const = default;
};

/// The two ends of a TCP connection, seen from one of them.
struct TcpPair {
  SocketAddress local;
  SocketAddress remote;
};

size_t HashOf(const SocketAddress& address);
struct IpAddressHash {
  size_t operator()(const IpAddress& address) const { return HashOf(SocketAddress{address, 0}); }
};

}  // namespace groundwire
