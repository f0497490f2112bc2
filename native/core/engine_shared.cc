// SPDX-License-Identifier: Apache-2.0
#include "engine_shared.h"

#include <algorithm>
#include <utility>

namespace groundwire {
namespace {

// Each is a few hundred bytes: at most some 30 MiB when the agent's JavaScript stands still.
constexpr size_t kEventsMax = 65536;

HboneOptions MakeHboneOptions(const EngineOptions& options) {
  HboneOptions hbone;
  hbone.stream_window_bytes = options.stream_window_bytes;
  hbone.connection_window_bytes =
      std::max(options.connection_window_bytes, options.stream_window_bytes);
  hbone.streams_used_max = options.streams_per_tunnel_max;
  hbone.connect_timeout_ms = options.connect_timeout_ms;
  hbone.tls_timeout_ms = options.tls_timeout_ms;
  hbone.ping_interval_ms = options.ping_interval_ms;
  hbone.ping_timeout_ms = options.ping_timeout_ms;
  return hbone;
}

}  // namespace

EngineShared::EngineShared(const EngineOptions& engine_options, EventSink* sink,
                           std::unique_ptr<PodSockets> pod_sockets)
    : options(engine_options),
      hbone(MakeHboneOptions(engine_options)),
      events(sink, kEventsMax),
      sockets(std::move(pod_sockets)) {}

}  // namespace groundwire
