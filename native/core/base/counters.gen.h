// SPDX-License-Identifier: Apache-2.0
// Generated from src/telemetry/engine-counters.ts by scripts/gen.ts; edit that and run `npm run gen`.
// clang-format off
#pragma once

/// X(Counter, "name"), of every counter of a worker.
#define GROUNDWIRE_COUNTERS(X) \
  X(kOutboundAccepted, "outbound_accepted") \
  X(kInboundHboneAccepted, "inbound_hbone_accepted") \
  X(kInboundPlaintextAccepted, "inbound_plaintext_accepted") \
  X(kAcceptOutOfFiles, "accept_out_of_files") \
  X(kAcceptFailed, "accept_failed") \
  X(kAcceptPaused, "accept_paused") \
  X(kLimitConnections, "limit_connections") \
  X(kIllegalDestination, "illegal_destination") \
  X(kVerdictHits, "verdict_hits") \
  X(kVerdictMisses, "verdict_misses") \
  X(kVerdictEvicted, "verdict_evicted") \
  X(kVerdictInvalidated, "verdict_invalidated") \
  X(kVerdictTimeouts, "verdict_timeouts") \
  X(kVerdictQueueFull, "verdict_queue_full") \
  X(kVerdictStaleAnswers, "verdict_stale_answers") \
  X(kVerdictReasked, "verdict_reasked") \
  X(kConnectionsLateDenied, "connections_late_denied") \
  X(kTunnelsDialled, "tunnels_dialled") \
  X(kTunnelsDialFailed, "tunnels_dial_failed") \
  X(kTunnelsAccepted, "tunnels_accepted") \
  X(kTunnelsProofDialled, "tunnels_proof_dialled") \
  X(kTunnelsExpired, "tunnels_expired") \
  X(kTunnelsIdleClosed, "tunnels_idle_closed") \
  X(kTunnelsLingerCut, "tunnels_linger_cut") \
  X(kTunnelsPingTimeout, "tunnels_ping_timeout") \
  X(kTunnelsFlooded, "tunnels_flooded") \
  X(kTunnelsFull, "tunnels_full") \
  X(kTunnelStreams, "tunnel_streams") \
  X(kTunnelStreamsRetried, "tunnel_streams_retried") \
  X(kTlsHandshakes, "tls_handshakes") \
  X(kTlsHandshakesFailed, "tls_handshakes_failed") \
  X(kHboneBadRequests, "hbone_bad_requests") \
  X(kHboneHeadersRefused, "hbone_headers_refused") \
  X(kFlowRowsFull, "flow_rows_full") \
  X(kPeersFull, "peers_full") \
  X(kDnsQueries, "dns_queries") \
  X(kDnsAnswered, "dns_answered") \
  X(kDnsForwarded, "dns_forwarded") \
  X(kDnsForwardFailed, "dns_forward_failed") \
  X(kDnsTimeouts, "dns_timeouts") \
  X(kDnsQueueFull, "dns_queue_full") \
  X(kDnsMalformed, "dns_malformed") \
  X(kDnsTcpLimit, "dns_tcp_limit") \
  X(kDnsReplyFailed, "dns_reply_failed") \
  X(kLookedOn, "looked_on") \
  X(kLookedOnPaid, "looked_on_paid") \
  X(kDnsWatchFailed, "dns_watch_failed") \
  X(kVerdictReaskRetried, "verdict_reask_retried") \
  X(kForgedSource, "forged_source") \
  X(kLimitTunnels, "limit_tunnels") \
  X(kTunnelsProtocolError, "tunnels_protocol_error") \
  X(kHboneStreamsRefused, "hbone_streams_refused") \
  X(kReleaseFailed, "release_failed") \
  X(kUncapturedListFailed, "uncaptured_list_failed") \
  X(kUncapturedCloseFailed, "uncaptured_close_failed") \
  X(kResetsCutShort, "resets_cut_short") \
  X(kDnsForwardMismatched, "dns_forward_mismatched") \
  X(kDnsRowsFull, "dns_rows_full") \
  X(kDnsTooLarge, "dns_too_large") \
  X(kTunnelStreamsHeldBack, "tunnel_streams_held_back") \
  X(kAcceptWatchFailed, "accept_watch_failed") \
  X(kHboneWrongAddresses, "hbone_wrong_addresses") \
  X(kOutOfFiles, "out_of_files") \
  X(kDeliveryReturned, "delivery_returned") \
  X(kHandshakesDisplaced, "handshakes_displaced") \
  X(kLimitPodConnections, "limit_pod_connections") \
  X(kSourcePortsExhausted, "source_ports_exhausted") \
  X(kLimitPeerTunnels, "limit_peer_tunnels") \
  X(kTunnelsStaleDrained, "tunnels_stale_drained") \
  X(kCaptureRepaired, "capture_repaired") \
  X(kCaptureRepairFailed, "capture_repair_failed") \
  X(kTunnelTurnsCut, "tunnel_turns_cut") \
  X(kTunnelsFloodedResets, "tunnels_flooded_resets") \
  X(kTunnelsFloodedForcedResets, "tunnels_flooded_forced_resets") \
  X(kTunnelsFloodedEmptyData, "tunnels_flooded_empty_data") \
  X(kTunnelsFloodedWindowUpdates, "tunnels_flooded_window_updates") \
  X(kTunnelsFloodedPings, "tunnels_flooded_pings") \
  X(kTunnelsFloodedSettings, "tunnels_flooded_settings") \
  X(kTunnelsFloodedOtherFrames, "tunnels_flooded_other_frames") \
  X(kKeptFull, "kept_full") \
  X(kWindowsShrunk, "windows_shrunk")

namespace groundwire::reading {

inline constexpr char kEventsDropped[] = "events_dropped";
inline constexpr char kQuestionsDropped[] = "questions_dropped";
inline constexpr char kQuestionBytesLive[] = "question_bytes_live";
inline constexpr char kRecordBytesLive[] = "record_bytes_live";
inline constexpr char kConnectionsLive[] = "connections_live";
inline constexpr char kKeptBytesLive[] = "kept_bytes_live";
inline constexpr char kKeptBytesMax[] = "kept_bytes_max";
inline constexpr char kSweepSkipped[] = "sweep_skipped";
inline constexpr char kOldFlowsFull[] = "old_flows_full";
inline constexpr char kGuardUnsupported[] = "guard_unsupported";
inline constexpr char kGuardDevicesFull[] = "guard_devices_full";
inline constexpr char kMapPodsEntries[] = "map_pods_entries";
inline constexpr char kMapPodsMax[] = "map_pods_max";
inline constexpr char kMapAddressesEntries[] = "map_addresses_entries";
inline constexpr char kMapAddressesMax[] = "map_addresses_max";
inline constexpr char kMapApprovalsEntries[] = "map_approvals_entries";
inline constexpr char kMapApprovalsMax[] = "map_approvals_max";
inline constexpr char kMapOldFlowsEntries[] = "map_old_flows_entries";
inline constexpr char kMapOldFlowsMax[] = "map_old_flows_max";

}  // namespace groundwire::reading
