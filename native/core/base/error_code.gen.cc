// SPDX-License-Identifier: Apache-2.0
// Generated from src/model/errors.ts by scripts/gen.ts; edit that and run `npm run gen`.
// clang-format off
#include "base/error_code.gen.h"

namespace groundwire {
namespace {

constexpr ErrorCodeEntry kEntries[] = {
    {ErrorCode::kPeerReset, "PEER_RESET", 0},
    {ErrorCode::kUnknownSource, "UNKNOWN_SOURCE", 0},
    {ErrorCode::kNoHealthyUpstream, "NO_HEALTHY_UPSTREAM", 0},
    {ErrorCode::kUnknownServicePort, "UNKNOWN_SERVICE_PORT", 503},
    {ErrorCode::kIllegalDestination, "ILLEGAL_DESTINATION", 503},
    {ErrorCode::kUnknownWaypoint, "UNKNOWN_WAYPOINT", 0},
    {ErrorCode::kUnreachableNetwork, "UNREACHABLE_NETWORK", 0},
    {ErrorCode::kUnknownDestinationWorkload, "UNKNOWN_DESTINATION_WORKLOAD", 503},
    {ErrorCode::kRejectedDestination, "REJECTED_DESTINATION", 0},
    {ErrorCode::kForgedSource, "FORGED_SOURCE", 0},
    {ErrorCode::kUnknownService, "UNKNOWN_SERVICE", 503},
    {ErrorCode::kUnresolvedName, "UNRESOLVED_NAME", 0},
    {ErrorCode::kUnservedTunnel, "UNSERVED_TUNNEL", 503},
    {ErrorCode::kPolicyDenied, "POLICY_DENIED", 401},
    {ErrorCode::kPolicyNotAllowed, "POLICY_NOT_ALLOWED", 401},
    {ErrorCode::kPolicyUnknown, "POLICY_UNKNOWN", 401},
    {ErrorCode::kPolicyLateDenied, "POLICY_LATE_DENIED", 0},
    {ErrorCode::kConnectRefused, "CONNECT_REFUSED", 503},
    {ErrorCode::kConnectTimeout, "CONNECT_TIMEOUT", 503},
    {ErrorCode::kConnectUnreachable, "CONNECT_UNREACHABLE", 503},
    {ErrorCode::kDeliveryReturned, "DELIVERY_RETURNED", 0},
    {ErrorCode::kSourcePortsExhausted, "SOURCE_PORTS_EXHAUSTED", 503},
    {ErrorCode::kTlsHandshakeFailed, "TLS_HANDSHAKE_FAILED", 0},
    {ErrorCode::kTlsUnexpectedIdentity, "TLS_UNEXPECTED_IDENTITY", 0},
    {ErrorCode::kTlsTrustDomain, "TLS_TRUST_DOMAIN", 0},
    {ErrorCode::kTlsTimeout, "TLS_TIMEOUT", 0},
    {ErrorCode::kIdentityUnavailable, "IDENTITY_UNAVAILABLE", 0},
    {ErrorCode::kCertificateExpired, "CERTIFICATE_EXPIRED", 0},
    {ErrorCode::kIdentityRemoved, "IDENTITY_REMOVED", 0},
    {ErrorCode::kHboneRefused, "HBONE_REFUSED", 0},
    {ErrorCode::kHboneProtocol, "HBONE_PROTOCOL", 0},
    {ErrorCode::kHbonePingTimeout, "HBONE_PING_TIMEOUT", 0},
    {ErrorCode::kHboneBadRequest, "HBONE_BAD_REQUEST", 400},
    {ErrorCode::kHboneWrongAddress, "HBONE_WRONG_ADDRESS", 400},
    {ErrorCode::kHboneResponseTimeout, "HBONE_RESPONSE_TIMEOUT", 0},
    {ErrorCode::kHboneGoaway, "HBONE_GOAWAY", 0},
    {ErrorCode::kVerdictTimeout, "VERDICT_TIMEOUT", 503},
    {ErrorCode::kVerdictQueueFull, "VERDICT_QUEUE_FULL", 503},
    {ErrorCode::kDrained, "DRAINED", 0},
    {ErrorCode::kPodRemoved, "POD_REMOVED", 503},
    {ErrorCode::kLimitConnections, "LIMIT_CONNECTIONS", 503},
    {ErrorCode::kOutOfFiles, "OUT_OF_FILES", 503},
};

const ErrorCodeEntry* Find(uint16_t number) {
  for (const ErrorCodeEntry& entry : kEntries) {
    if (static_cast<uint16_t>(entry.code) == number) return &entry;
  }
  return nullptr;
}

}  // namespace

std::span<const ErrorCodeEntry> ErrorCodes() { return kEntries; }

std::string_view NameOf(ErrorCode code) {
  if (code == ErrorCode::kNone) return "NONE";
  const ErrorCodeEntry* entry = Find(static_cast<uint16_t>(code));
  return entry != nullptr ? entry->name : "UNKNOWN";
}

uint16_t ConnectStatusOf(ErrorCode code) {
  const ErrorCodeEntry* entry = Find(static_cast<uint16_t>(code));
  return entry != nullptr ? entry->connect_status : uint16_t{0};
}

}  // namespace groundwire
