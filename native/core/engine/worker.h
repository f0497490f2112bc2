// SPDX-License-Identifier: Apache-2.0
// One thread of the engine: its loop, the connections it accepted, their tunnels and verdicts.
// Nothing on the byte path is shared with another worker.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/id_sequence.h"
#include "capture/pod.h"
#include "connection/connection.h"
#include "connection/connection_context.h"
#include "connection/inbound_requests.h"
#include "dns/dns_relay.h"
#include "engine/acceptor.h"
#include "engine/engine_shared.h"
#include "flows/flow_ledger.h"
#include "hbone/accepted_tunnel.h"
#include "hbone/tunnel_pool.h"
#include "io/event_loop.h"
#include "io/kept_memory.h"
#include "io/lingering_sockets.h"
#include "io/thread_scratch.h"
#include "verdicts/verdict_desks.h"

namespace groundwire {

struct SnapshotSums {
  FlowTable flows{SIZE_MAX};
  DnsUpstreamTable dns_upstreams{SIZE_MAX};
};

/// Created and joined by the engine. Post is for any thread; everything else runs on the worker's
/// own.
class Worker final : private Books {
 public:
  Worker(uint8_t index, EngineShared* shared);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  Status Start();
  /// Ends every connection and the thread. Called once, by the engine.
  void StopAndJoin();
  void Post(std::function<void()> task) { loop_.Post(std::move(task)); }

  // Commands of the control thread.
  void AddPod(const std::shared_ptr<const Pod>& pod);
  /// No new connections of the pod; `done` once the live ones have ended, at the latest at the
  /// deadline.
  void DrainPod(uint32_t pod, uint32_t deadline_ms, std::function<void()> done);
  void OnIdentityReplaced(const std::string& identity) { pool_.OnIdentityReplaced(identity); }
  void OnIdentityRemoved(const std::string& identity);
  void SetPeers(const std::vector<msg::PeerLabel>& peers) { flows_.SetPeers(peers); }
  void InvalidateVerdicts(const std::vector<uint64_t>& verdicts) { verdicts_.Invalidate(verdicts); }
  void Drain(uint32_t deadline_ms);
  /// What belongs to no other worker goes to the batch, what adds up to the sums.
  void AppendSnapshot(uint8_t parts, msg::BatchWriter* batch, SnapshotSums* sums);

  const ConnectionContext& context() const { return context_; }
  Counters& counters() { return counters_; }
  const KeptMemory& kept() const { return kept_; }
  /// What TypeScript answered to a question, whichever worker asked it.
  template <typename Kind>
  void TakeAnswer(uint64_t question, const typename Kind::Key& key, const Verdict<Kind>& verdict) {
    // Of a pod that is gone nobody would ever forget it, and it would take from the others' share.
    verdicts_.of<Kind>().TakeAnswer(question, key, verdict, pods_.contains(key.pod));
  }
  DnsRelay& dns() { return dns_; }
  AcceptedTunnels& accepted_tunnels() { return accepted_tunnels_; }

 private:
  struct CapturedPod {
    std::shared_ptr<const Pod> pod;
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    size_t connections = 0;          // that live by it; twice for a handoff to itself
    std::function<void()> released;  // set: it waits for the last of them
    EventLoop::TimerId deadline{};
  };

  ErrorCode Admit(const Pod& pod) override;
  void Enter(std::unique_ptr<Connection> connection) override;
  void Forget(Connection* connection) override;
  void Join(uint32_t pod) override;
  std::shared_ptr<const Pod> FindPod(uint32_t pod) const override;

  ThreadContext MakeThreadContext();
  TunnelContext MakeTunnelContext();
  void CloseEverything();
  void EndConnections(const std::function<bool(const Connection&)>& which, ErrorCode code);
  void FinishDrain(uint32_t pod, ErrorCode code);
  void FinishDrainIfEmpty(uint32_t pod);
  void Leave(uint32_t pod);

  const uint8_t index_;
  EngineShared* const shared_;
  KeptMemory kept_;  // what is discarded with the loop gives back to it
  EventLoop loop_;
  ThreadScratch scratch_;
  LingeringSockets lingering_;
  Counters counters_;
  IdSequence ids_;
  FlowLedger flows_;
  VerdictDesks verdicts_;
  TunnelPool pool_;
  const ConnectionContext context_;
  DnsRelay dns_;
  InboundRequests inbound_requests_;
  AcceptedTunnels accepted_tunnels_;
  std::unordered_map<uint32_t, CapturedPod> pods_;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  bool draining_ = false;
  std::thread thread_;
};

}  // namespace groundwire
