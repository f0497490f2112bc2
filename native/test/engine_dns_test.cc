// SPDX-License-Identifier: Apache-2.0
// DNS of a captured pod through the whole engine, over UDP and TCP.
#include <sys/socket.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "check.h"
#include "dns_message.h"
#include "support/agent.h"

using namespace groundwire;

namespace {

const std::vector<uint8_t> kQuery = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'w', 'e', 'b', 0, 0, 1, 0, 1};

std::vector<uint8_t> AnswerTo(std::vector<uint8_t> query) {
  query[2] = static_cast<uint8_t>(query[2] | 0x80);
  query.push_back(0xaa);
  return query;
}

std::vector<uint8_t> AskTcp(const UniqueFd& client, const std::vector<uint8_t>& query) {
  const std::vector<uint8_t> frame = WithLength(query);
  if (!SendAll(client, std::string(frame.begin(), frame.end()))) return {};
  const std::string length = ReceiveUpTo(client, 2);
  if (length.size() != 2) return {};
  const std::string answer =
      ReceiveUpTo(client, static_cast<size_t>(static_cast<uint8_t>(length[0]) << 8 | static_cast<uint8_t>(length[1])));
  return {answer.begin(), answer.end()};
}

std::vector<uint8_t> AskUdp(TestAgent* agent, uint32_t pod, const std::vector<uint8_t>& query) {
  const UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage server;
  const socklen_t length = At("10.202.0.53", PortOf(agent->node.ListenersOf(pod).dns_udp)).ToSockaddr(AF_INET, &server);
  sendto(client.get(), query.data(), query.size(), 0, reinterpret_cast<const sockaddr*>(&server), length);
  if (!WaitReadable(client.get(), 8000)) return {};
  std::vector<uint8_t> answer(512);
  sockaddr_storage from{};
  socklen_t from_length = sizeof from;
  const ssize_t size = recvfrom(client.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), &from_length);
  // From the address that was asked, or a resolver library would throw it away.
  if (SocketAddress::FromSockaddr(from).ToString() != "10.202.0.53:53") return {};
  answer.resize(static_cast<size_t>(size));
  return answer;
}

}  // namespace

TEST("dns: an answer leaves from the address that was asked") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) { return msg::DnsAnswer{q.query, AnswerTo(q.message)}; });
  CHECK(AskUdp(&agent, 1, kQuery) == AnswerTo(kQuery));
  const auto query = agent.Await<msg::DnsQuery>();
  REQUIRE(query.has_value());
  CHECK_EQ(query->server.ToString(), "10.202.0.53:53");
  CHECK_EQ(query->pod, 1u);
}

TEST("dns: several queries on one TCP connection") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) { return msg::DnsAnswer{q.query, AnswerTo(q.message)}; });
  const UniqueFd client = ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp)));
  for (int i = 0; i < 3; ++i) CHECK(AskTcp(client, kQuery) == AnswerTo(kQuery));
}

TEST("dns: a client that sends without an end leaves the worker to others, and gets every answer") {
  std::atomic<bool> answering{false};
  TestAgent agent([](EngineOptions* options) { options->worker_threads = 1; });
  agent.AddPod(1, true);
  agent.AddPod(2, true);
  // Nobody answers pod 1 at first: its bound of 512 is reached, and the rest waits unread.
  agent.SetDnsRule([&](const msg::DnsQuery& q) -> std::optional<msg::DnsAnswer> {
    if (q.pod == 1 && !answering) return std::nullopt;
    return msg::DnsAnswer{q.query, AnswerTo(q.message)};
  });
  const UniqueFd client = ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp)));
  const std::vector<uint8_t> frame = WithLength(kQuery);
  std::string frames;
  for (int i = 0; i < 1000; ++i) frames.append(frame.begin(), frame.end());
  REQUIRE(SendAll(client, frames));
  CHECK(TestAgent::Eventually([&] { return agent.Counter("dns_queries") == 512; }));
  CHECK(AskUdp(&agent, 2, kQuery) == AnswerTo(kQuery));
  CHECK_EQ(agent.Counter("dns_queries"), 513u);
  answering = true;
  // The first 512 end with SERVFAIL when their time is over; then the other 488 are read and answered.
  CHECK(TestAgent::Eventually([&] { return agent.Counter("dns_answered") == 489; }));
  CHECK_EQ(agent.Counter("dns_timeouts"), 512u);
  CHECK_EQ(agent.Counter("dns_queue_full"), 0u);
  const size_t refusals = 512 * (MakeServfail(kQuery)->size() + 2);
  const size_t answers = 488 * (AnswerTo(kQuery).size() + 2);
  CHECK_EQ(ReceiveUpTo(client, refusals + answers).size(), refusals + answers);
}

TEST("dns: one pod's TCP connections are bounded, another pod's are not touched") {
  TestAgent agent([](EngineOptions* options) { options->worker_threads = 1; });
  agent.AddPod(1, true);
  agent.AddPod(2, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) { return msg::DnsAnswer{q.query, AnswerTo(q.message)}; });
  const SocketAddress server = At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp));
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(ConnectTo(server));
  for (const UniqueFd& client : clients) CHECK(AskTcp(client, kQuery) == AnswerTo(kQuery));
  CHECK_EQ(Peek(ConnectTo(server)), "reset");
  CHECK_EQ(agent.Counter("dns_tcp_limit"), 1u);
  CHECK(AskTcp(ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(2).dns_tcp))), kQuery) == AnswerTo(kQuery));
  // One that ends makes room for one.
  clients.pop_back();
  CHECK(TestAgent::Eventually([&] { return AskTcp(ConnectTo(server), kQuery) == AnswerTo(kQuery); }));
}

TEST("dns: an empty answer is forwarded; with no resolver the client is told at once") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) { return msg::DnsAnswer{q.query, {}}; });
  CHECK(AskUdp(&agent, 1, kQuery) == *MakeServfail(kQuery));
  CHECK_EQ(agent.Counter("dns_forward_failed"), 1u);
}

TEST("dns: a forwarded query comes back with the resolver's answer") {
  EnterPrivateNetwork();
  const UniqueFd resolver(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address;
  const socklen_t length = At("10.202.53.53", 53).ToSockaddr(AF_INET, &address);
  REQUIRE(bind(resolver.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
  std::thread serve([&resolver] {
    std::vector<uint8_t> query(512);
    sockaddr_storage from{};
    socklen_t from_length = sizeof from;
    const ssize_t size = recvfrom(resolver.get(), query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(&from), &from_length);
    query.resize(static_cast<size_t>(size));
    const std::vector<uint8_t> answer = AnswerTo(query);
    sendto(resolver.get(), answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&from), from_length);
  });
  TestAgent agent([](EngineOptions* options) { options->upstream_resolvers = {*IpAddress::Parse("10.202.53.53")}; });
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) { return msg::DnsAnswer{q.query, {}}; });
  CHECK(AskUdp(&agent, 1, kQuery) == AnswerTo(kQuery));
  serve.join();
  CHECK_EQ(agent.Counter("dns_forwarded"), 1u);
}

TEST("dns: what is no query is dropped and counted") {
  TestAgent agent;
  agent.AddPod(1, true);
  const UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage server;
  const socklen_t length = At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_udp)).ToSockaddr(AF_INET, &server);
  sendto(client.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&server), length);
  CHECK(TestAgent::Eventually([&] { return agent.Counter("dns_malformed") == 1; }));
}

RUN_TESTS()
