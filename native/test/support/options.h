// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "port/messages.gen.h"

namespace groundwire {

/// Options as an agent would give them by default, but for its places.
inline msg::EngineOptions TestOptions() {
  msg::EngineOptions options;
  options.trust_domain = "cluster.local";
  options.worker_threads = 2;
  options.connect_timeout_ms = 10000;
  options.tls_timeout_ms = 10000;
  options.verdict_timeout_ms = 5000;
  options.verdict_queue_max = 1024;
  options.connections_max = 65536;
  options.streams_per_tunnel_max = 100;
  options.tunnels_accepted_max = 8192;
  options.tunnel_idle_ms = 300000;
  options.stream_window_bytes = 1 << 20;
  options.connection_window_bytes = 16 << 20;
  options.kept_memory_bytes = 256 << 20;
  options.ping_interval_ms = 10000;
  options.ping_timeout_ms = 20000;
  return options;
}

}  // namespace groundwire
