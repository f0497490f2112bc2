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

bool IsHostname(std::string_view text) {
  return text.size() <= kHostnameMax && std::all_of(text.begin(), text.end(), IsHostnameCharacter);
}

/// The parameter `host` of the first element of a Forwarded header, without quotes.
std::string_view ForwardedHost(std::string_view text) {
  constexpr std::string_view kName = "host=";
  text = text.substr(0, text.find(','));
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    std::string_view parameter = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!parameter.starts_with(kName)) continue;
    parameter.remove_prefix(kName.size());
    if (parameter.size() >= 2 && parameter.front() == '"' && parameter.back() == '"')
      parameter = parameter.substr(1, parameter.size() - 2);
    return IsHostname(parameter) ? parameter : std::string_view();
  }
  return {};
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
  if (!IsHostname(host)) return std::nullopt;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), authority.port);
  if (error != std::errc() || end != port.data() + port.size() || authority.port == 0)
    return std::nullopt;
  authority.hostname = host;
  return authority;
}

HboneRequest::HboneRequest(const HeaderList& headers)
    : method(headers.Find(":method").value_or("")),
      authority(headers.Find(":authority").value_or("")),
      traceparent(headers.Find("traceparent").value_or("")),
      service_hostname(ForwardedHost(headers.Find("forwarded").value_or(""))) {}

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
