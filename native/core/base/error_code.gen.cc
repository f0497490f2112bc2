// SPDX-License-Identifier: Apache-2.0
// Generated from src/model/errors.ts by scripts/gen.ts; edit that and run `npm run gen`.
// clang-format off
#include "base/error_code.gen.h"

namespace groundwire {
namespace {

constexpr ErrorCodeEntry kEntries[] = {
    {ErrorCode::kPeerReset, "PEER_RESET", 0, false},
    {ErrorCode::kUnknownSource, "UNKNOWN_SOURCE", 0, true},
    {ErrorCode::kNoHealthyUpstream, "NO_HEALTHY_UPSTREAM", 0, true},
    {ErrorCode::kUnknownServicePort, "UNKNOWN_SERVICE_PORT", 503, true},
    {ErrorCode::kIllegalDestination, "ILLEGAL_DESTINATION", 503, true},
    {ErrorCode::kUnknownWaypoint, "UNKNOWN_WAYPOINT", 0, true},
    {ErrorCode::kUnreachableNetwork, "UNREACHABLE_NETWORK", 0, true},
    {ErrorCode::kUnknownDestinationWorkload, "UNKNOWN_DESTINATION_WORKLOAD", 503, true},
    {ErrorCode::kRejectedDestination, "REJECTED_DESTINATION", 0, true},
    {ErrorCode::kForgedSource, "FORGED_SOURCE", 0, true},
    {ErrorCode::kUnknownService, "UNKNOWN_SERVICE", 503, true},
    {ErrorCode::kUnresolvedName, "UNRESOLVED_NAME", 0, true},
    {ErrorCode::kUnservedTunnel, "UNSERVED_TUNNEL", 503, true},
    {ErrorCode::kPolicyDenied, "POLICY_DENIED", 401, true},
    {ErrorCode::kPolicyNotAllowed, "POLICY_NOT_ALLOWED", 401, true},
    {ErrorCode::kPolicyUnknown, "POLICY_UNKNOWN", 401, true},
    {ErrorCode::kPolicyLateDenied, "POLICY_LATE_DENIED", 0, true},
    {ErrorCode::kConnectRefused, "CONNECT_REFUSED", 503, true},
    {ErrorCode::kConnectTimeout, "CONNECT_TIMEOUT", 503, true},
    {ErrorCode::kConnectUnreachable, "CONNECT_UNREACHABLE", 503, true},
    {ErrorCode::kDeliveryReturned, "DELIVERY_RETURNED", 0, true},
    {ErrorCode::kSourcePortsExhausted, "SOURCE_PORTS_EXHAUSTED", 503, true},
    {ErrorCode::kTlsHandshakeFailed, "TLS_HANDSHAKE_FAILED", 0, true},
    {ErrorCode::kTlsUnexpectedIdentity, "TLS_UNEXPECTED_IDENTITY", 0, true},
    {ErrorCode::kTlsTrustDomain, "TLS_TRUST_DOMAIN", 0, true},
    {ErrorCode::kTlsTimeout, "TLS_TIMEOUT", 0, true},
    {ErrorCode::kIdentityUnavailable, "IDENTITY_UNAVAILABLE", 0, true},
    {ErrorCode::kCertificateExpired, "CERTIFICATE_EXPIRED", 0, true},
    {ErrorCode::kIdentityRemoved, "IDENTITY_REMOVED", 0, true},
    {ErrorCode::kHboneRefused, "HBONE_REFUSED", 0, true},
    {ErrorCode::kHboneProtocol, "HBONE_PROTOCOL", 0, true},
    {ErrorCode::kHbonePingTimeout, "HBONE_PING_TIMEOUT", 0, true},
    {ErrorCode::kHboneBadRequest, "HBONE_BAD_REQUEST", 400, true},
    {ErrorCode::kHboneWrongAddress, "HBONE_WRONG_ADDRESS", 400, true},
    {ErrorCode::kHboneResponseTimeout, "HBONE_RESPONSE_TIMEOUT", 0, true},
    {ErrorCode::kHboneGoaway, "HBONE_GOAWAY", 0, true},
    {ErrorCode::kVerdictTimeout, "VERDICT_TIMEOUT", 503, true},
    {ErrorCode::kVerdictQueueFull, "VERDICT_QUEUE_FULL", 503, true},
    {ErrorCode::kDrained, "DRAINED", 0, false},
    {ErrorCode::kPodRemoved, "POD_REMOVED", 503, false},
    {ErrorCode::kLimitConnections, "LIMIT_CONNECTIONS", 503, true},
    {ErrorCode::kLimitMemory, "LIMIT_MEMORY", 503, true},
    {ErrorCode::kOutOfFiles, "OUT_OF_FILES", 503, true},
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

bool IsFailure(ErrorCode code) {
  const ErrorCodeEntry* entry = Find(static_cast<uint16_t>(code));
  return entry != nullptr && entry->failure;
}

}  // namespace groundwire
