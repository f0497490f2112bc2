// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "capture/pod_sockets.h"
#include "connection/books.h"
#include "flows/flow_ledger.h"
#include "hbone/tunnel_pool.h"
#include "io/thread_context.h"
#include "verdicts/verdict_desks.h"

namespace groundwire {

/// What the connections of a worker stand on.
struct ConnectionContext {
  ThreadContext thread;
  Books* books = nullptr;
  FlowLedger* flows = nullptr;
  VerdictDesks* verdicts = nullptr;
  TunnelPool* pool = nullptr;
  PodSockets* sockets = nullptr;
};

}  // namespace groundwire
