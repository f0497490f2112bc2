// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_shared.h"

#include <utility>

#include "hbone/tunnel_context.h"

namespace groundwire {
namespace {

// Of questions and of records, each a few hundred bytes: some 30 MiB of either when the agent's
// JavaScript stands still. Only a DNS query may be larger, up to kDnsQueryBytesMax, and of these a
// pod has at most 512 a worker under way.
constexpr size_t kEventsMax = 65536;

}  // namespace

EngineShared::EngineShared(const EngineOptions& engine_options, EventSink* sink,
                           std::unique_ptr<PodSockets> pod_sockets)
    : options(engine_options),
      http2(MakeTunnelOptions(engine_options)),
      events(sink, kEventsMax),
      sockets(std::move(pod_sockets)) {}

}  // namespace groundwire
