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

HboneRequest::HboneRequest(const HeaderList& headers)
    : method(headers.Find(":method").value_or("")),
      authority(headers.Find(":authority").value_or("")),
      traceparent(headers.Find("traceparent").value_or("")) {}

ConnectHeaders::ConnectHeaders(std::string_view authority, std::string_view baggage,
                               const SocketAddress& client, std::string_view service_hostname,
                               std::string_view traceparent)
    : forwarded_("for=\"" + client.ToString() + "\"") {
  if (!service_hostname.empty()) forwarded_.append(";host=").append(service_hostname);
  Append(":method", "CONNECT");
  Append(":authority", authority);
  if (!baggage.empty()) Append("baggage", baggage);
  Append("forwarded", forwarded_);
  Append("traceparent", traceparent);
}

}  // namespace groundwire
