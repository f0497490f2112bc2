// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>

#include "connection/connection.h"

namespace groundwire {

/// A connection that reaches a captured pod from outside of it, whatever way: its verdict, and its
/// delivery to the application. What comes before and after is the way's own.
class InboundConnection : public Connection {
 public:
  void Recheck(const std::unordered_set<uint64_t>& verdicts) final;
  using Connection::OnVerdict;
  void OnVerdict(const InboundVerdict& verdict) final;

 protected:
  InboundConnection(const ConnectionContext& context, std::shared_ptr<const Pod> pod,
                    const SocketAddress& source);
  /// Asks for the verdict on what `facts_` and `hostname_authority_` say by now. It refuses, or dials
  /// the application: OnDialled comes next, maybe from within.
  void Decide();
  const InboundVerdict& verdict() const { return verdict_; }

  /// host:port as asked for when it is a hostname, otherwise "".
  std::string hostname_authority_;

 private:
  InboundKey Key() const;
  msg::InboundQuestion Question(uint64_t id) const;

  InboundVerdict verdict_;
};

}  // namespace groundwire
