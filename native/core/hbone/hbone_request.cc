// SPDX-License-Identifier: Apache-2.0
#include "hbone/hbone_request.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace groundwire {
namespace {

// RFC 1035 2.3.4.
constexpr size_t kHostnameMax = 253;

bool IsHostnameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

}  // namespace

std::optional<HboneAuthority> HboneAuthority::Parse(std::string_view text) {
  HboneAuthority authority;
  authority.address = SocketAddress::Parse(text);
  if (authority.address) {
    authority.port = authority.address->port;
    return authority;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon > kHostnameMax) return std::nullopt;
  const std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (!std::all_of(host.begin(), host.end(), IsHostnameCharacter)) return std::nullopt;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), authority.port);
  if (error != std::errc() || end != port.data() + port.size() || authority.port == 0)
    return std::nullopt;
  authority.hostname = host;
  return authority;
}

std::vector<HboneHeader> MakeConnectHeaders(const std::string& authority,
                                            const std::string& baggage, const SocketAddress& client,
                                            const std::string& service_hostname,
                                            const std::string& traceparent) {
  std::vector<HboneHeader> headers;
  headers.reserve(5);
  headers.push_back({":method", "CONNECT"});
  headers.push_back({":authority", authority});
  if (!baggage.empty()) headers.push_back({"baggage", baggage});
  std::string forwarded = "for=\"" + client.ToString() + "\"";
  if (!service_hostname.empty()) forwarded += ";host=" + service_hostname;
  headers.push_back({"forwarded", std::move(forwarded)});
  headers.push_back({"traceparent", traceparent});
  return headers;
}

}  // namespace groundwire
