// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "capture/pod_sockets.h"
#include "http2/http2_options.h"
#include "port/event_queue.h"
#include "port/messages.gen.h"
#include "tls/identity_store.h"
#include "tls/proof_table.h"
#include "verdicts/question_table.h"

namespace groundwire {

/// What the engine's threads have in common; each part guards itself.
struct EngineShared {
  EngineShared(const msg::EngineOptions& engine_options, EventSink* sink,
               std::unique_ptr<PodSockets> pod_sockets);

  const msg::EngineOptions options;
  const Http2Options http2;
  EventQueue events;
  IdentityStore identities;
  ProofTable proofs;
  QuestionTables questions;
  const std::unique_ptr<PodSockets> sockets;
  std::atomic<int64_t> connections{0};
};

}  // namespace groundwire
