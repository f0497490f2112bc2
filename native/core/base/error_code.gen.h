// SPDX-License-Identifier: Apache-2.0
// Generated from src/model/errors.ts by scripts/gen.ts; edit that and run `npm run gen`.
// clang-format off
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace groundwire {

/// Why a connection ended or was refused; kNone: in the ordinary way.
enum class ErrorCode : uint16_t {
  kNone = 0,
  kPeerReset = 1,
  kUnknownSource = 10,
  kNoHealthyUpstream = 11,
  kUnknownServicePort = 12,
  kIllegalDestination = 13,
  kUnknownWaypoint = 14,
  kUnreachableNetwork = 15,
  kUnknownDestinationWorkload = 16,
  kRejectedDestination = 17,
  kForgedSource = 18,
  kUnknownService = 19,
  kUnresolvedName = 91,
  kUnservedTunnel = 90,
  kPolicyDenied = 20,
  kPolicyNotAllowed = 21,
  kPolicyUnknown = 22,
  kPolicyLateDenied = 23,
  kConnectRefused = 30,
  kConnectTimeout = 31,
  kConnectUnreachable = 32,
  kDeliveryReturned = 33,
  kSourcePortsExhausted = 34,
  kTlsHandshakeFailed = 40,
  kTlsUnexpectedIdentity = 41,
  kTlsTrustDomain = 42,
  kTlsTimeout = 43,
  kIdentityUnavailable = 44,
  kCertificateExpired = 45,
  kIdentityRemoved = 46,
  kHboneRefused = 50,
  kHboneProtocol = 51,
  kHbonePingTimeout = 52,
  kHboneBadRequest = 53,
  kHboneWrongAddress = 54,
  kHboneResponseTimeout = 55,
  kHboneGoaway = 56,
  kVerdictTimeout = 60,
  kVerdictQueueFull = 61,
  kDrained = 70,
  kPodRemoved = 71,
  kLimitConnections = 80,
  kLimitMemory = 82,
  kOutOfFiles = 81,
};

struct ErrorCodeEntry {
  ErrorCode code;
  std::string_view name;
  /// Status that a CONNECT gets where it is refused with this; 0: none can be.
  uint16_t connect_status;
  /// Whether an opened connection that ends with this has failed: it has a response flag.
  bool failure;
};

/// Every entry of the table, without kNone.
std::span<const ErrorCodeEntry> ErrorCodes();
/// "NONE" for kNone, "UNKNOWN" for a number that is not in the table.
std::string_view NameOf(ErrorCode code);
uint16_t ConnectStatusOf(ErrorCode code);
bool IsFailure(ErrorCode code);

}  // namespace groundwire
