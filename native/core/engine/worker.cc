// SPDX-License-Identifier: Apache-2.0
#include "engine/worker.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "io/engine_thread.h"

namespace groundwire {

Worker::Worker(uint8_t index, EngineShared* shared)
    : index_(index),
      shared_(shared),
      kept_(&loop_, &counters_,
            shared->options.kept_memory_bytes / std::max(shared->options.worker_threads, 1U)),
      loop_(&counters_),
      lingering_(&loop_, &counters_, [this](uint32_t pod) { FinishDrainIfEmpty(pod); }),
      ids_(index),
      flows_(&counters_),
      verdicts_(MakeThreadContext(), &shared->questions),
      pool_(MakeTunnelContext()),
      context_{MakeThreadContext(), this, &flows_, &verdicts_, &pool_, shared->sockets.get()},
      dns_(context_.thread, shared->sockets.get()),
      inbound_requests_(context_),
      accepted_tunnels_(MakeTunnelContext(), &inbound_requests_) {}

ThreadContext Worker::MakeThreadContext() {
  return {&loop_,           &scratch_,         &kept_,     &counters_, &ids_,
          &shared_->events, &shared_->options, &lingering_};
}

TunnelContext Worker::MakeTunnelContext() {
  return {MakeThreadContext(),  &shared_->http2,  MakeSecuredOptions(shared_->options),
          &shared_->identities, &shared_->proofs, shared_->sockets.get()};
}

Worker::~Worker() = default;

Status Worker::Start() {
  if (Status opened = loop_.Open(); !opened.ok()) return opened;
  thread_ = std::thread([this] {
    NameThread("gw-worker-" + std::to_string(index_));
    loop_.Run();
  });
  return Status::Ok();
}

void Worker::StopAndJoin() {
  if (!thread_.joinable()) return;
  loop_.Post([this] {
    CloseEverything();
    loop_.Stop();
  });
  thread_.join();
}

void Worker::CloseEverything() {
  pods_.clear();
  accepted_tunnels_.CloseAll(ErrorCode::kDrained);
  pool_.CloseAll(ErrorCode::kDrained);
  EndConnections([](const Connection&) { return true; }, ErrorCode::kDrained);
  dns_.CloseAll();
}

void Worker::AddPod(const std::shared_ptr<const Pod>& pod) {
  CapturedPod captured;
  captured.pod = pod;
  const std::pair<Acceptor::Kind, int> listeners[] = {
      {Acceptor::Kind::kOutbound, pod->outbound.get()},
      {Acceptor::Kind::kInboundPlaintext, pod->inbound_plaintext.get()},
      {Acceptor::Kind::kInboundHbone, pod->inbound_hbone.get()},
      {Acceptor::Kind::kDnsTcp, pod->dns_tcp.get()}};
  for (const auto& [kind, listener] : listeners) {
    // An engine that drains takes no new connections, of pods that come late neither.
    if (listener < 0 || draining_) continue;
    captured.acceptors.push_back(std::make_unique<Acceptor>(this, pod, kind, listener));
    captured.acceptors.back()->Start();
  }
  dns_.AddPod(pod);
  pods_.insert_or_assign(pod->id, std::move(captured));
}

void Worker::DrainPod(uint32_t pod, uint32_t deadline_ms, std::function<void()> done) {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return done();
  CapturedPod& captured = found->second;
  for (auto& acceptor : captured.acceptors) {
    acceptor->Stop();
    loop_.Discard(std::move(acceptor));
  }
  captured.acceptors.clear();
  dns_.RemovePod(pod);
  accepted_tunnels_.DrainPod(pod);
  pool_.DrainPod(pod);
  captured.released = std::move(done);
  captured.deadline =
      loop_.After(deadline_ms, [this, pod] { FinishDrain(pod, ErrorCode::kDrained); });
  FinishDrainIfEmpty(pod);
}

void Worker::FinishDrainIfEmpty(uint32_t pod) {
  const auto found = pods_.find(pod);
  if (found == pods_.end() || !found->second.released || found->second.connections > 0) return;
  // Nobody needs the pod's tunnels any more, but the last bytes of the last streams may be on their
  // way: the pod's namespace stays until they have arrived, or the deadline has come.
  accepted_tunnels_.ClosePod(pod, ErrorCode::kDrained);
  pool_.ClosePod(pod, ErrorCode::kDrained);
  if (!lingering_.Has(pod)) FinishDrain(pod, ErrorCode::kNone);
}

void Worker::FinishDrain(uint32_t pod, ErrorCode code) {
  auto node = pods_.extract(pod);
  if (node.empty()) return;
  loop_.Cancel(&node.mapped().deadline);
  EndConnections([pod](const Connection& connection) { return connection.LivesBy(pod); }, code);
  accepted_tunnels_.ClosePod(pod, ErrorCode::kDrained);
  pool_.ClosePod(pod, ErrorCode::kDrained);
  lingering_.EndPod(pod);
  verdicts_.ForgetPod(pod);
  kept_.Forget(pod);
  node.mapped().released();
}

void Worker::OnIdentityRemoved(const std::string& identity) {
  pool_.CloseIdentity(identity, ErrorCode::kIdentityRemoved);
  accepted_tunnels_.CloseIdentity(identity, ErrorCode::kIdentityRemoved);
  EndConnections(
      [&](const Connection& connection) {
        return connection.protected_by_identity() &&
               (connection.source_identity() == identity ||
                connection.destination_identity() == identity);
      },
      ErrorCode::kIdentityRemoved);
}

void Worker::Drain(uint32_t deadline_ms) {
  draining_ = true;
  for (auto& [id, captured] : pods_) {
    for (auto& acceptor : captured.acceptors) acceptor->Stop();
  }
  accepted_tunnels_.DrainAll();
  pool_.DrainAll();
  loop_.After(deadline_ms, [this] {
    EndConnections([](const Connection&) { return true; }, ErrorCode::kDrained);
    accepted_tunnels_.CloseAll(ErrorCode::kDrained);
    pool_.CloseAll(ErrorCode::kDrained);
  });
}

void Worker::EndConnections(const std::function<bool(const Connection&)>& which, ErrorCode code) {
  // Ending one takes it off the books.
  std::vector<uint64_t> ids;
  for (const auto& [id, connection] : connections_) {
    if (which(*connection)) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    const auto found = connections_.find(id);
    if (found != connections_.end()) found->second->End(code);
  }
}

void Worker::AppendSnapshot(uint8_t parts, msg::BatchWriter* batch, SnapshotSums* sums) {
  if ((parts & msg::kPartConnections) != 0) {
    for (const auto& [id, connection] : connections_) batch->Add(connection->Describe());
  }
  if ((parts & msg::kPartTunnels) != 0) {
    std::vector<msg::Tunnel> tunnels;
    pool_.AppendSnapshot(&tunnels);
    accepted_tunnels_.AppendSnapshot(&tunnels);
    for (const msg::Tunnel& tunnel : tunnels) batch->Add(tunnel);
  }
  if ((parts & msg::kPartFlows) != 0) {
    for (const auto& [id, connection] : connections_) connection->AccountBytes();
    flows_.AddTo(&sums->flows);
  }
  if ((parts & msg::kPartDnsUpstreams) != 0) dns_.upstreams().AddTo(&sums->dns_upstreams);
}

std::shared_ptr<const Pod> Worker::FindPod(uint32_t pod) const {
  const auto found = pods_.find(pod);
  return found == pods_.end() || found->second.released ? nullptr : found->second.pod;
}

ErrorCode Worker::Admit(const Pod& pod) {
  const int64_t free = static_cast<int64_t>(shared_->options.connections_max) -
                       shared_->connections.load(std::memory_order_relaxed);
  if (free <= 0) {
    counters_.Add(Counter::kLimitConnections);
    return ErrorCode::kLimitConnections;
  }
  // As many as are free and no more: a pod that takes all it can get leaves half to the others, and
  // two such pods leave a third.
  if (pod.connections.load(std::memory_order_relaxed) >= free) {
    counters_.Add(Counter::kLimitPodConnections);
    return ErrorCode::kLimitConnections;
  }
  return ErrorCode::kNone;
}

void Worker::Enter(std::unique_ptr<Connection> connection) {
  const Connection& entered = *connection;
  connections_.emplace(entered.id(), std::move(connection));
  shared_->connections.fetch_add(1, std::memory_order_relaxed);
  entered.pod().connections.fetch_add(1, std::memory_order_relaxed);
  Join(entered.pod().id);
}

void Worker::Forget(Connection* connection) {
  auto node = connections_.extract(connection->id());
  if (node.empty()) return;
  shared_->connections.fetch_sub(1, std::memory_order_relaxed);
  connection->pod().connections.fetch_sub(1, std::memory_order_relaxed);
  Leave(connection->pod().id);
  if (connection->destination() != nullptr) Leave(connection->destination()->id);
  loop_.Discard(std::move(node.mapped()));
}

void Worker::Join(uint32_t pod) {
  const auto found = pods_.find(pod);
  if (found != pods_.end()) ++found->second.connections;
}

void Worker::Leave(uint32_t pod) {
  const auto found = pods_.find(pod);
  if (found == pods_.end() || --found->second.connections > 0 || !found->second.released) return;
  // Not in the midst of a connection's end.
  loop_.Defer([this, pod] { FinishDrainIfEmpty(pod); });
}

}  // namespace groundwire
