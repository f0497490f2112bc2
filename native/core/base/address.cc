// SPDX-License-Identifier: Apache-2.0
#include "base/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>
#include <functional>
#include <system_error>

namespace groundwire {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

bool IpAddress::is_v4() const {
  return std::memcmp(bytes.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes[12] == 127;
  for (size_t i = 0; i < 15; ++i) {
    if (bytes[i] != 0) return false;
  }
  return bytes[15] == 1;
}

bool IpAddress::is_unspecified() const {
  const size_t first = is_v4() ? 12 : 0;
  for (size_t i = first; i < bytes.size(); ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  if (is_v4()) {
    inet_ntop(AF_INET, bytes.data() + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  }
  return text;
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  // inet_pton wants a terminated string; no address is longer than this.
  char buffer[INET6_ADDRSTRLEN + 1] = {};
  if (text.size() >= sizeof buffer) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  if (std::memchr(buffer, 0, text.size()) != nullptr) return std::nullopt;
  IpAddress address;
  if (inet_pton(AF_INET6, buffer, address.bytes.data()) == 1) return address;
  std::memcpy(address.bytes.data(), kMappedPrefix.data(), kMappedPrefix.size());
  if (inet_pton(AF_INET, buffer, address.bytes.data() + 12) == 1) return address;
  return std::nullopt;
}

std::string SocketAddress::ToString() const {
  const std::string host = ip.ToString();
  return (ip.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

std::optional<SocketAddress> SocketAddress::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto ip = IpAddress::Parse(host);
  // Without brackets the last group of an IPv6 address would be taken for the port.
  if (!ip || bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size() || port == 0)
    return std::nullopt;
  return SocketAddress{*ip, port};
}

SocketAddress SocketAddress::FromSockaddr(const sockaddr_storage& storage) {
  SocketAddress address;
  if (storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
    std::memcpy(address.ip.bytes.data(), kMappedPrefix.data(), kMappedPrefix.size());
    std::memcpy(address.ip.bytes.data() + 12, &in->sin_addr, 4);
    address.port = ntohs(in->sin_port);
  } else if (storage.ss_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    std::memcpy(address.ip.bytes.data(), &in6->sin6_addr, 16);
    address.port = ntohs(in6->sin6_port);
  }
  return address;
}

socklen_t SocketAddress::ToSockaddr(int family, sockaddr_storage* storage) const {
  std::memset(storage, 0, sizeof *storage);
  if (family == AF_INET) {
    auto* in = reinterpret_cast<sockaddr_in*>(storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    std::memcpy(&in->sin_addr, ip.bytes.data() + 12, 4);
    return sizeof *in;
  }
  auto* in6 = reinterpret_cast<sockaddr_in6*>(storage);
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(port);
  std::memcpy(&in6->sin6_addr, ip.bytes.data(), 16);
  return sizeof *in6;
}

size_t HashOf(const SocketAddress& address) {
  const std::string_view raw(reinterpret_cast<const char*>(address.ip.bytes.data()),
                             address.ip.bytes.size());
  return std::hash<std::string_view>{}(raw)*31 + address.port;
}

}  // namespace groundwire
