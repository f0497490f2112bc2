// SPDX-License-Identifier: Apache-2.0
#include "inbound_plaintext.h"

#include <utility>

#include "socket_options.h"
#include "worker.h"

namespace groundwire {

void AcceptInboundPlaintext(Worker* worker, const std::shared_ptr<const Pod>& pod, UniqueFd fd,
                            const SocketAddress& source, ErrorCode refusal) {
  const SocketAddress original_dst = LocalAddress(fd.get());
  if (refusal == ErrorCode::kNone) refusal = worker->Admit(*pod);
  auto connection = std::make_unique<InboundPlaintextConnection>(worker, pod, std::move(fd), source,
                                                                 original_dst);
  worker->Adopt(std::move(connection))->Start(refusal);
}

InboundPlaintextConnection::InboundPlaintextConnection(Worker* worker,
                                                       std::shared_ptr<const Pod> pod,
                                                       UniqueFd downstream,
                                                       const SocketAddress& source,
                                                       const SocketAddress& original_dst)
    : Connection(worker, msg::Direction::kInbound, std::move(pod), source),
      downstream_(std::move(downstream)) {
  record_.original_dst = original_dst;
  record_.hop = msg::HopKind::kPassthrough;
  record_.security = msg::Security::kNone;
  record_.destination_identity = pod_->identity;
  record_.peer_label = worker->PeerLabelOf(source.ip);
}

void InboundPlaintextConnection::Start(ErrorCode refusal) {
  if (refusal != ErrorCode::kNone) return Refuse(refusal);
  if (const InboundVerdict verdict = worker_->verdicts().Find(Key())) return OnVerdict(verdict);
  const ErrorCode code =
      worker_->verdicts().Ask(Key(), id(), [this](uint64_t q) { return Question(q); });
  if (code != ErrorCode::kNone) Refuse(code);
}

InboundKey InboundPlaintextConnection::Key() const {
  return {pod_->id, msg::Security::kNone, "", record_.source.ip, record_.original_dst.port, ""};
}

msg::InboundQuestion InboundPlaintextConnection::Question(uint64_t id) const {
  return {id, pod_->id, msg::Security::kNone, "", record_.source, record_.original_dst, ""};
}

void InboundPlaintextConnection::OnVerdict(const InboundVerdict& verdict) {
  if (finished()) return;
  const auto code = static_cast<ErrorCode>(verdict->code);
  const bool first = verdict_ == nullptr;
  verdict_ = verdict;
  record_.verdict = verdict->verdict;
  if (!first) return TakeLateVerdict(verdict->verdict, code);
  TakeLabel(verdict->flow_label);
  if (code != ErrorCode::kNone) return Refuse(code);
  Deliver(*pod_, {record_.original_dst.ip, DeliverPortOf(*verdict, record_.original_dst.port, "")});
}

void InboundPlaintextConnection::OnDialled(ErrorCode code, UniqueFd fd) {
  dial_.reset();
  if (code != ErrorCode::kNone) return Refuse(code);
  MarkOpened();
  relay_ = std::make_unique<TcpRelay>(worker_->loop(), worker_->scratch(), &bytes_, this);
  relay_->Start(std::move(downstream_), std::move(fd));
}

void InboundPlaintextConnection::Recheck(const std::unordered_set<uint64_t>& verdicts) {
  if (!verdict_ || !verdicts.contains(verdict_->verdict)) return;
  worker_->verdicts().Recheck(Key(), id(), [this](uint64_t q) { return Question(q); });
}

void InboundPlaintextConnection::Abort() {
  if (dial_) dial_->Cancel();
  if (relay_) relay_->Abort();
  CloseWithReset(&downstream_);
}

}  // namespace groundwire
