// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"

namespace groundwire {

/// HTTP/2 windows where nobody says others, which is in tests: the agent's defaults are in
/// src/config/table.ts.
inline constexpr uint32_t kStreamWindowBytes = 1 << 20;
inline constexpr uint32_t kConnectionWindowBytes = 16 << 20;

struct UpstreamResolver {
  IpAddress address;
  bool from_node = false;  // else from the namespace of the pod whose query it is
};

/// Mirrors EngineOptions of src/engine/port.ts, which carries the defaults' meaning; TypeScript
/// validates, core trusts.
struct EngineOptions {
  std::string pin_directory;
  std::string pods_cgroup;
  std::string agent_cgroup;
  std::string probe_cgroup;
  std::string bpf_directory;
  std::string trust_domain;
  uint32_t worker_threads = 2;
  std::vector<UpstreamResolver> upstream_resolvers;
  uint32_t connect_timeout_ms = 10000;
  uint32_t tls_timeout_ms = 10000;
  uint32_t verdict_timeout_ms = 5000;
  /// Connections of one pod that may wait for a decision on one worker.
  uint32_t verdict_queue_max = 1024;
  /// Live connections of the whole engine; a pod may have as many as are still free.
  uint32_t connections_max = 65536;
  uint32_t streams_per_tunnel_max = 100;
  /// Accepted tunnels of one worker; a peer's address may have as many as are still free. TypeScript
  /// leaves it as it is.
  uint32_t tunnels_accepted_max = 8192;
  uint32_t tunnel_idle_ms = 300000;
  uint32_t stream_window_bytes = kStreamWindowBytes;
  uint32_t connection_window_bytes = kConnectionWindowBytes;
  /// For bytes that wait for their readers, of all workers together.
  uint32_t kept_memory_bytes = 256 << 20;
  uint32_t ping_interval_ms = 10000;
  uint32_t ping_timeout_ms = 20000;
};

}  // namespace groundwire
