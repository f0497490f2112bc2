// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_shared.h"

#include <algorithm>
#include <utility>

namespace groundwire {
namespace {

// Of questions and of records, each a few hundred bytes: some 30 MiB of either when the agent's
// JavaScript stands still. Only a DNS query may be larger, up to kDnsQueryBytesMax, and of these a
// pod has at most 512 a worker under way.
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
