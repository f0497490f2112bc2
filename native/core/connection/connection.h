// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error_code.gen.h"
#include "capture/pod.h"
#include "connection/connection_context.h"
#include "connection/connection_facts.h"
#include "flows/flow_table.h"
#include "io/dial.h"
#include "port/messages.gen.h"
#include "relay/relay.h"

namespace groundwire {

/// Whether a policy refuses, rather than that the destination cannot be had.
bool IsPolicyDenial(ErrorCode code);

/// One application connection from acceptance to its end, on one worker. Every end, in whatever
/// state, passes Finish once: it updates the flow row, emits the one ConnectionClosed event and
/// takes the connection off the worker's books.
class Connection : public Discardable, public RelayOwner, public DialOwner {
 public:
  Connection(const ConnectionContext& context, msg::Direction direction,
             std::shared_ptr<const Pod> pod, const SocketAddress& source);
  ~Connection() override = default;

  uint64_t id() const { return facts_.id; }
  const Pod& pod() const { return *pod_; }
  const std::string& source_identity() const { return facts_.source_identity; }
  const std::string& destination_identity() const { return facts_.destination_identity; }
  /// Of a handoff; nullptr otherwise.
  const Pod* destination() const { return destination_.get(); }
  bool LivesBy(uint32_t pod) const {
    return pod_->id == pod || (destination_ && destination_->id == pod);
  }
  bool protected_by_identity() const {
    return facts_.hop != msg::HopKind::kPassthrough && facts_.security != msg::Security::kNone;
  }

  /// Ends it from outside: late denial, drain, removal. Cuts with a reset.
  void End(ErrorCode code);
  void OnRelayEnd(ErrorCode code, const std::string& detail) override;
  msg::Connection Describe() const { return facts_.Describe(bytes_); }
  /// Brings the flow rows up to date with the bytes carried so far.
  void AccountBytes();

 protected:
  /// Closes whatever the present state holds; the peer sees a reset.
  virtual void Abort() = 0;
  /// It has ended and lives by no verdict any more.
  virtual void ReleaseVerdicts() = 0;
  /// Ends it before it was opened.
  virtual void Refuse(ErrorCode code) { End(code); }
  /// After the verdict that allows it: dials the application in the pod's namespace under the
  /// client's address. OnDialled comes next, maybe from within.
  void Deliver(const Pod& to, const SocketAddress& application);
  /// What the answer to a question that was asked again changes. Before a connection is opened any
  /// refusal ends it. Afterwards only a policy that denies it: an endpoint or a workload that is no
  /// longer listed may be draining, and its own end will tell.
  void TakeLateVerdict(uint64_t verdict, ErrorCode code);
  /// Of a verdict; one that has none leaves the label of the pod, which every connection begins with.
  void TakeLabel(uint32_t flow_label);
  /// Once what it is, and who asks for it, is known. As in ztunnel a connection counts as opened from
  /// here, and is closed at its end, whether or not it is denied or its destination refuses it.
  void CountOpened();
  /// handoff only: it counts from here on as seen from the destination too, in a second row.
  void CountAtDestination(uint32_t flow_label, uint32_t peer_label, ErrorCode verdict);
  /// Bytes may go.
  void MarkOpened() { facts_.opened = true; }
  void Finish(ErrorCode code);
  bool finished() const { return finished_; }
  /// Who pays for what that pod's application leaves unread, on this worker.
  KeptAccount* AccountOf(const Pod& pod) const { return context_.thread.kept->AccountOf(pod.id); }
  bool opened() const { return facts_.opened; }

  const ConnectionContext& context_;
  const std::shared_ptr<const Pod> pod_;
  ConnectionFacts facts_;
  RelayBytes bytes_;
  std::unique_ptr<Dial> dial_;
  std::shared_ptr<const Pod> destination_;

 private:
  FlowKey OwnKey(ErrorCode code) const;

  const uint64_t started_us_;
  RelayBytes accounted_;
  bool counted_opened_ = false;
  std::optional<FlowKey> destination_key_;
  bool counted_opened_at_destination_ = false;
  bool finished_ = false;
};

}  // namespace groundwire
