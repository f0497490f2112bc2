// SPDX-License-Identifier: Apache-2.0
#include "connection/connection.h"

#include <utility>

#include "base/clock.h"
#include "base/detail_text.h"

namespace groundwire {
namespace {

bool IsPolicyDenial(ErrorCode code) {
  return code == ErrorCode::kPolicyDenied || code == ErrorCode::kPolicyNotAllowed ||
         code == ErrorCode::kPolicyUnknown;
}

}  // namespace

Connection::Connection(const ConnectionContext& context, msg::Direction direction,
                       std::shared_ptr<const Pod> pod, const SocketAddress& source)
    : context_(context), pod_(std::move(pod)), started_us_(context.thread.loop->now_us()) {
  record_.id = context.thread.ids->Next();
  record_.direction = direction;
  record_.pod = pod_->id;
  record_.flow_label = context_.flows->LabelOf(*pod_);
  record_.source = source;
  record_.started_ms = WallMs();
}

void Connection::End(ErrorCode code) {
  if (finished_) return;
  Abort();
  Finish(code);
}

void Connection::OnRelayEnd(ErrorCode code, const std::string& detail) {
  record_.detail = DetailText(detail);
  Finish(code);
}

template <typename Update>
void Connection::UpdateRows(ErrorCode code, Update update) {
  update(context_.flows->RowOf({record_.direction, record_.flow_label, record_.peer_label, code}));
  if (inbound_row_) {
    update(context_.flows->RowOf(
        {msg::Direction::kInbound, inbound_flow_label_, inbound_peer_label_, code}));
  }
}

void Connection::TakeLabel(uint32_t flow_label) {
  if (flow_label != 0) record_.flow_label = flow_label;
}

void Connection::MarkOpened() {
  record_.opened = true;
  UpdateRows(ErrorCode::kNone, [](FlowRow& row) { ++row.opened; });
}

void Connection::AccountBytes() {
  const uint64_t sent = bytes_.sent - std::exchange(accounted_.sent, bytes_.sent);
  const uint64_t received = bytes_.received - std::exchange(accounted_.received, bytes_.received);
  if (sent == 0 && received == 0) return;
  UpdateRows(ErrorCode::kNone, [&](FlowRow& row) {
    row.bytes_sent += sent;
    row.bytes_received += received;
  });
}

void Connection::Finish(ErrorCode code) {
  if (finished_) return;
  finished_ = true;
  AccountBytes();
  const bool opened = record_.opened;
  UpdateRows(code, [opened](FlowRow& row) { ++(opened ? row.closed : row.failed); });
  if (code == ErrorCode::kOutOfFiles) context_.thread.counters->Add(Counter::kOutOfFiles);
  record_.code = static_cast<uint16_t>(code);
  record_.bytes_sent = bytes_.sent;
  record_.bytes_received = bytes_.received;
  record_.duration_us = context_.thread.loop->now_us() - started_us_;
  context_.books->Forget(this);  // by the id in the record
  context_.thread.events->Push(std::move(record_));
}

msg::Connection Connection::Describe() const {
  msg::Connection connection;
  connection.id = record_.id;
  connection.direction = record_.direction;
  connection.pod = record_.pod;
  connection.hop = record_.hop;
  connection.security = record_.security;
  connection.source = record_.source;
  connection.original_dst = record_.original_dst;
  connection.next_hop = record_.next_hop;
  connection.source_identity = record_.source_identity;
  connection.destination_identity = record_.destination_identity;
  connection.verdict = record_.verdict;
  connection.bytes_sent = bytes_.sent;
  connection.bytes_received = bytes_.received;
  connection.started_ms = record_.started_ms;
  return connection;
}

void Connection::Deliver(const Pod& to, const SocketAddress& application) {
  record_.next_hop = application;
  // The pod's own listener would take it for another connection from outside, for ever.
  if (to.IsListenerPort(application.port)) {
    context_.thread.counters->Add(Counter::kIllegalDestination);
    return Refuse(ErrorCode::kIllegalDestination);
  }
  dial_ = std::make_unique<Dial>(context_.thread.loop, this);
  dial_->Start(context_.sockets->OpenDeliverySocket(to.netns_fd, record_.source, application),
               application, Dial::Reach::kPod, context_.thread.options->connect_timeout_ms);
}

void Connection::TakeLateVerdict(uint64_t verdict, ErrorCode code) {
  if (!opened()) {
    // Nothing lives by the old answer yet, so any refusal counts, not only a policy's. An answer
    // that allows changes nothing: what is under way by the old choice goes on.
    if (code == ErrorCode::kNone) return;
    record_.verdict = verdict;
    return Refuse(code);
  }
  if (!IsPolicyDenial(code)) return;
  record_.verdict = verdict;
  context_.thread.counters->Add(Counter::kConnectionsLateDenied);
  End(ErrorCode::kPolicyLateDenied);
}

}  // namespace groundwire
