// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/error_code.gen.h"
#include "capture/pod_sockets.h"
#include "http2/http2_options.h"
#include "io/thread_context.h"
#include "tls/identity_store.h"
#include "tls/proof_table.h"
#include "tls/secured_stream.h"

namespace groundwire {

/// What the tunnels of a worker are made with, dialled and accepted ones alike.
struct TunnelContext {
  ThreadContext thread;
  const Http2Options* http2 = nullptr;
  SecuredStreamOptions secured;
  IdentityStore* identities = nullptr;
  ProofTable* proofs = nullptr;
  PodSockets* sockets = nullptr;
};

/// The HTTP/2 of a tunnel. Settings as ztunnel (src/proxy/h2 @62d8265).
Http2Options MakeTunnelOptions(const msg::EngineOptions& options);

SecuredStreamOptions MakeSecuredOptions(const msg::EngineOptions& options);

/// Whether a session that ended so before it was open had begun TLS, and that failed: not where
/// nobody was reached, nor where this engine ended it for a reason of its own.
bool IsHandshakeFailure(ErrorCode ended);

}  // namespace groundwire
