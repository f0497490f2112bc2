// SPDX-License-Identifier: Apache-2.0
#include "connection/connection.h"

#include <utility>

#include "base/clock.h"
#include "base/detail_text.h"

namespace groundwire {

bool IsPolicyDenial(ErrorCode code) {
  return code == ErrorCode::kPolicyDenied || code == ErrorCode::kPolicyNotAllowed ||
         code == ErrorCode::kPolicyUnknown;
}

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

FlowKey Connection::OwnKey(ErrorCode code) const {
  return {facts_.direction, facts_.flow_label, facts_.peer_label, code};
}

void Connection::TakeLabel(uint32_t flow_label) {
  if (flow_label != 0) facts_.flow_label = flow_label;
}

void Connection::CountOpened() {
  counted_opened_ = true;
  ++context_.flows->RowOf(OwnKey(ErrorCode::kNone)).opened;
}

void Connection::CountAtDestination(uint32_t flow_label, uint32_t peer_label, ErrorCode verdict) {
  destination_key_ = {msg::Direction::kInbound, flow_label, peer_label, ErrorCode::kNone};
  if (verdict != ErrorCode::kNone && !IsPolicyDenial(verdict)) return;
  counted_opened_at_destination_ = true;
  ++context_.flows->RowOf(*destination_key_).opened;
}

void Connection::AccountBytes() {
  const uint64_t sent = bytes_.sent - std::exchange(accounted_.sent, bytes_.sent);
  const uint64_t received = bytes_.received - std::exchange(accounted_.received, bytes_.received);
  if (sent == 0 && received == 0) return;
  const auto add = [&](FlowRow& row) {
    row.bytes_sent += sent;
    row.bytes_received += received;
  };
  add(context_.flows->RowOf(OwnKey(ErrorCode::kNone)));
  if (destination_key_) add(context_.flows->RowOf(*destination_key_));
}

void Connection::Finish(ErrorCode code) {
  if (finished_) return;
  finished_ = true;
  AccountBytes();
  const bool failed = code != ErrorCode::kNone && (!opened() || IsFailure(code));
  const auto end = [failed](FlowRow& row, bool counted_opened) {
    if (counted_opened) ++row.closed;
    if (failed) ++row.failed;
  };
  end(context_.flows->RowOf(OwnKey(code)), counted_opened_);
  if (destination_key_) {
    destination_key_->code = code;
    end(context_.flows->RowOf(*destination_key_), counted_opened_at_destination_);
  }
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
