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
  facts_.id = context.thread.ids->Next();
  facts_.direction = direction;
  facts_.pod = pod_->id;
  facts_.flow_label = context_.flows->LabelOf(*pod_);
  facts_.source = source;
  facts_.started_ms = WallMs();
}

void Connection::End(ErrorCode code) {
  if (finished_) return;
  Abort();
  Finish(code);
}

void Connection::OnRelayEnd(ErrorCode code, const std::string& detail) {
  facts_.detail = DetailText(detail);
  Finish(code);
}

template <typename Update>
void Connection::UpdateRows(ErrorCode code, Update update) {
  update(context_.flows->RowOf({facts_.direction, facts_.flow_label, facts_.peer_label, code}));
  if (inbound_row_) {
    update(context_.flows->RowOf(
        {msg::Direction::kInbound, inbound_flow_label_, inbound_peer_label_, code}));
  }
}

void Connection::TakeLabel(uint32_t flow_label) {
  if (flow_label != 0) facts_.flow_label = flow_label;
}

void Connection::MarkOpened() {
  facts_.opened = true;
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
  const bool opened = facts_.opened;
  UpdateRows(code, [opened](FlowRow& row) { ++(opened ? row.closed : row.failed); });
  if (code == ErrorCode::kOutOfFiles) context_.thread.counters->Add(Counter::kOutOfFiles);
  const uint64_t duration_us = context_.thread.loop->now_us() - started_us_;
  ReleaseVerdicts();
  context_.books->Forget(this);
  context_.thread.events->Push(std::move(facts_).Close(code, bytes_, duration_us));
}

void Connection::Deliver(const Pod& to, const SocketAddress& application) {
  facts_.next_hop = application;
  // The pod's own listener would take it for another connection from outside, for ever.
  if (to.IsListenerPort(application.port)) {
    context_.thread.counters->Add(Counter::kIllegalDestination);
    return Refuse(ErrorCode::kIllegalDestination);
  }
  dial_ = std::make_unique<Dial>(context_.thread.loop, this);
  dial_->Start(context_.sockets->OpenDeliverySocket(to.netns_fd, facts_.source, application),
               application, Dial::Reach::kPod, context_.thread.options->connect_timeout_ms);
}

void Connection::TakeLateVerdict(uint64_t verdict, ErrorCode code) {
  if (!opened()) {
    // Nothing lives by the old answer yet, so any refusal counts, not only a policy's. An answer
    // that allows changes nothing: what is under way by the old choice goes on.
    if (code == ErrorCode::kNone) return;
    facts_.verdict = verdict;
    return Refuse(code);
  }
  if (!IsPolicyDenial(code)) return;
  facts_.verdict = verdict;
  context_.thread.counters->Add(Counter::kConnectionsLateDenied);
  End(ErrorCode::kPolicyLateDenied);
}

}  // namespace groundwire
