// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "connection/connection.h"
#include "verdicts/verdict_desk.h"

namespace groundwire {

/// A connection that reaches a captured pod from outside of it, whatever way: its verdict, and its
/// delivery to the application. What comes before and after is the way's own.
class InboundConnection : public Connection, public VerdictUser<InboundKind> {
 public:
  void Describe(msg::InboundQuestion* question) const final;
  void OnVerdict(const InboundVerdict& verdict) final;
  void OnLateVerdict(const InboundVerdict& verdict) final;
  void OnNoVerdict(ErrorCode code) final { Refuse(code); }

 protected:
  InboundConnection(const ConnectionContext& context, std::shared_ptr<const Pod> pod,
                    const SocketAddress& source);
  /// Asks for the verdict on what `facts_` and `hostname_authority_` say by now. It refuses, or dials
  /// the application: OnDialled comes next, maybe from within.
  void Decide() { verdict_.Ask(); }
  const InboundVerdict& verdict() const { return verdict_.verdict(); }
  void ReleaseVerdicts() final { verdict_.Release(); }

  /// host:port as asked for when it is a hostname, otherwise "".
  std::string hostname_authority_;
  /// What the source says that it dialled; no decision hangs on it, labels of telemetry do.
  std::string service_hostname_;

 private:
  VerdictHold<InboundKind> verdict_;
};

}  // namespace groundwire
