// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "capture/pod_sockets.h"
#include "hbone/hbone_session.h"
#include "io/thread_context.h"
#include "tls/identity_store.h"
#include "tls/proof_table.h"

namespace groundwire {

/// What the tunnels of a worker are made with, dialled and accepted ones alike.
struct TunnelContext {
  ThreadContext thread;
  const HboneOptions* hbone = nullptr;
  IdentityStore* identities = nullptr;
  ProofTable* proofs = nullptr;
  PodSockets* sockets = nullptr;
};

}  // namespace groundwire
