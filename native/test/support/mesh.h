// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "support/agent.h"

namespace groundwire {

/// Pod 1 calls an application in pod 2 through a tunnel, everything allowed, unless a test sets
/// other rules.
struct TestMesh {
  explicit TestMesh(const std::function<void(msg::EngineOptions*)>& adjust =
                        [](msg::EngineOptions*) {})
      : agent(adjust) {
    agent.AddPod(1);
    agent.AddPod(2);
    app = ListenOn("10.202.2.1");
    app_address = At("10.202.2.1", PortOf(app.get()));
    hbone = At("10.202.2.1", PortOf(agent.node.ListenersOf(2).inbound_hbone));
    agent.SetRules([this](const msg::OutboundQuestion& q) { return ToPod2(q.question); },
                   [](const msg::InboundQuestion& q) { return TestAgent::Allow(q.question); });
  }
  msg::OutboundAnswer ToPod2(uint64_t question) const {
    return TestAgent::Hbone(question, hbone, app_address.ToString(), {IdentityOf("pod2")});
  }
  msg::OutboundAnswer Direct(uint64_t question, msg::HopKind kind) const {
    msg::OutboundAnswer answer = ToPod2(question);
    answer.choices[0].kind = kind;
    answer.choices[0].next_hop = app_address;
    answer.choices[0].destination_pod = 2;
    return answer;
  }
  /// As a program in pod 1 that dials 10.202.77.7.
  UniqueFd Dial() { return ConnectTo(OutboundAddress(), "10.202.1.1"); }
  SocketAddress OutboundAddress() {
    return At("10.202.77.7", PortOf(agent.node.ListenersOf(1).outbound));
  }
  /// A connection that has carried a byte each way.
  std::pair<UniqueFd, UniqueFd> Open() {
    UniqueFd client = Dial();
    if (!SendAll(client, "a")) return {};
    UniqueFd server = AcceptOne(app);
    if (!server.valid() || ReceiveUpTo(server, 1) != "a" || !SendAll(server, "b")) return {};
    if (ReceiveUpTo(client, 1) != "b") return {};
    return {std::move(client), std::move(server)};
  }
  std::optional<msg::ConnectionClosed> Closed(msg::Direction direction) {
    return agent.Await<msg::ConnectionClosed>(
        [direction](const msg::ConnectionClosed& e) { return e.direction == direction; });
  }

  TestAgent agent;
  UniqueFd app;
  SocketAddress app_address;
  SocketAddress hbone;
};

inline std::string CodeName(const std::optional<msg::ConnectionClosed>& event) {
  return event ? std::string(NameOf(static_cast<ErrorCode>(event->code))) : "no event";
}

/// What the flow rows of one side add up to.
inline std::string CountsOf(TestMesh* mesh, msg::Direction direction) {
  uint64_t opened = 0;
  uint64_t closed = 0;
  uint64_t failed = 0;
  for (const msg::Flow& flow : mesh->agent.Snapshot<msg::Flow>(msg::kPartFlows)) {
    if (flow.direction != direction) continue;
    opened += flow.opened;
    closed += flow.closed;
    failed += flow.failed;
  }
  return std::to_string(opened) + " opened, " + std::to_string(closed) + " closed, " +
         std::to_string(failed) + " failed";
}

}  // namespace groundwire
