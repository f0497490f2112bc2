// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_shared.h"

#include <utility>

#include "hbone/tunnel_context.h"

namespace groundwire {
namespace {

// What waits while the agent's JavaScript stands still: some 100,000 of either.
constexpr size_t kQuestionBytesMax = size_t{16} << 20;
constexpr size_t kRecordBytesMax = size_t{32} << 20;

}  // namespace

EngineShared::EngineShared(const msg::EngineOptions& engine_options, EventSink* sink,
                           std::unique_ptr<PodSockets> pod_sockets)
    : options(engine_options),
      http2(MakeTunnelOptions(engine_options)),
      events(sink, kQuestionBytesMax, kRecordBytesMax),
      sockets(std::move(pod_sockets)) {}

}  // namespace groundwire
