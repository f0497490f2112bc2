// SPDX-License-Identifier: Apache-2.0
// DNS of a captured pod through the whole engine, over UDP and TCP.
#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "dns/dns_message.h"
#include "support/agent.h"
#include "support/name_server.h"

using namespace groundwire;

namespace {

const std::vector<uint8_t> kQuery = {0x12, 0x34, 1,   0,   0,   1, 0, 0, 0, 0, 0,
                                     0,    3,    'w', 'e', 'b', 0, 0, 1, 0, 1};

std::vector<uint8_t> AnswerTo(std::vector<uint8_t> query) {
  query[2] = static_cast<uint8_t>(query[2] | 0x80);
  query.push_back(0xaa);
  return query;
}

const std::vector<uint8_t> kServfail = MakeRefusal(kQuery, DnsRefusal::kServfail);

std::vector<uint8_t> AskTcp(const UniqueFd& client, const std::vector<uint8_t>& query) {
  const std::vector<uint8_t> frame = WithLength(query);
  if (!SendAll(client, std::string(frame.begin(), frame.end()))) return {};
  const std::string length = ReceiveUpTo(client, 2);
  if (length.size() != 2) return {};
  const std::string answer = ReceiveUpTo(
      client,
      static_cast<size_t>(static_cast<uint8_t>(length[0]) << 8 | static_cast<uint8_t>(length[1])));
  return {answer.begin(), answer.end()};
}

std::vector<uint8_t> AskUdp(TestAgent* agent, uint32_t pod, const std::vector<uint8_t>& query) {
  const UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage server;
  const socklen_t length =
      At("10.202.0.53", PortOf(agent->node.ListenersOf(pod).dns_udp)).ToSockaddr(AF_INET, &server);
  sendto(client.get(), query.data(), query.size(), 0, reinterpret_cast<const sockaddr*>(&server),
         length);
  if (!WaitReadable(client.get(), 8000)) return {};
  std::vector<uint8_t> answer(65535);
  sockaddr_storage from{};
  socklen_t from_length = sizeof from;
  const ssize_t size = recvfrom(client.get(), answer.data(), answer.size(), 0,
                                reinterpret_cast<sockaddr*>(&from), &from_length);
  // From the address that was asked, or a resolver library would throw it away.
  if (SocketAddress::FromSockaddr(from).ToString() != "10.202.0.53:53") return {};
  answer.resize(static_cast<size_t>(size));
  return answer;
}

using Messages = std::vector<NameServer::Message>;

/// An agent whose mesh answers nothing: pod 1's queries go to these resolvers.
class ForwardingAgent {
 public:
  struct Resolver {
    std::string address;
    bool from_node;
  };
  explicit ForwardingAgent(const std::vector<Resolver>& resolvers)
      : agent_([&](msg::EngineOptions* options) {
          for (const Resolver& one : resolvers) {
            options->upstream_resolvers.push_back({*IpAddress::Parse(one.address), one.from_node});
          }
        }) {
    agent_.AddPod(1, true);
    agent_.SetDnsRule([](const msg::DnsQuery& q) {
      return msg::DnsAnswer{q.query, msg::DnsForward{7}};
    });
  }
  /// "LABEL: N answered, N failed" for each row.
  std::string Upstreams() {
    std::string text;
    for (const msg::DnsUpstream& row : agent_.Snapshot<msg::DnsUpstream>(msg::kPartDnsUpstreams)) {
      const uint64_t answered =
          std::accumulate(row.answered.begin(), row.answered.end(), uint64_t{0});
      text += std::to_string(row.label) + ": " + std::to_string(answered) + " answered, " +
              std::to_string(row.failed) + " failed\n";
    }
    return text;
  }
  TestAgent* get() { return &agent_; }
  uint64_t Counter(const std::string& name) { return agent_.Counter(name); }
  UniqueFd Connect() {
    return ConnectTo(At("10.202.0.53", PortOf(agent_.node.ListenersOf(1).dns_tcp)));
  }

 private:
  TestAgent agent_;
};

}  // namespace

TEST("dns: an answer leaves from the address that was asked") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    return msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(q.message)}};
  });
  CHECK(AskUdp(&agent, 1, kQuery) == AnswerTo(kQuery));
  const auto query = agent.Await<msg::DnsQuery>();
  REQUIRE(query.has_value());
  CHECK_EQ(query->server.ToString(), "10.202.0.53:53");
  CHECK_EQ(query->pod, 1u);
}

TEST("dns: several queries on one TCP connection") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    return msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(q.message)}};
  });
  const UniqueFd client = ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp)));
  for (int i = 0; i < 3; ++i) CHECK(AskTcp(client, kQuery) == AnswerTo(kQuery));
}

TEST("dns: a client that sends without an end leaves the worker to others, and gets every answer") {
  std::atomic<bool> answering{false};
  TestAgent agent([](msg::EngineOptions* options) { options->worker_threads = 1; });
  agent.AddPod(1, true);
  agent.AddPod(2, true);
  // Nobody answers pod 1 at first: its bound of 512 is reached, and the rest waits unread.
  agent.SetDnsRule([&](const msg::DnsQuery& q) -> std::optional<msg::DnsAnswer> {
    if (q.pod == 1 && !answering) return std::nullopt;
    return msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(q.message)}};
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
  // The first 512 end with SERVFAIL when their time is over. As they do, the other 488 are read and
  // answered, at times before the last of the first has ended.
  CHECK(TestAgent::Eventually([&] { return agent.Counter("dns_answered") == 489; }));
  CHECK(TestAgent::Eventually([&] { return agent.Counter("dns_timeouts") == 512; }));
  CHECK_EQ(agent.Counter("dns_queue_full"), 0u);
  const size_t refusals = 512 * (kServfail.size() + 2);
  const size_t answers = 488 * (AnswerTo(kQuery).size() + 2);
  CHECK_EQ(ReceiveUpTo(client, refusals + answers).size(), refusals + answers);
}

TEST("dns: one pod's TCP connections are bounded, another pod's are not touched") {
  TestAgent agent([](msg::EngineOptions* options) { options->worker_threads = 1; });
  agent.AddPod(1, true);
  agent.AddPod(2, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    return msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(q.message)}};
  });
  const SocketAddress server = At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp));
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(ConnectTo(server));
  for (const UniqueFd& client : clients) CHECK(AskTcp(client, kQuery) == AnswerTo(kQuery));
  CHECK_EQ(Peek(ConnectTo(server)), "reset");
  CHECK_EQ(agent.Counter("dns_tcp_limit"), 1u);
  CHECK(AskTcp(ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(2).dns_tcp))), kQuery) ==
        AnswerTo(kQuery));
  // One that ends makes room for one.
  clients.pop_back();
  CHECK(
      TestAgent::Eventually([&] { return AskTcp(ConnectTo(server), kQuery) == AnswerTo(kQuery); }));
}

TEST("dns: an empty answer is forwarded; with no resolver the client is told at once") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    return msg::DnsAnswer{q.query, msg::DnsForward{}};
  });
  CHECK(AskUdp(&agent, 1, kQuery) == kServfail);
  CHECK_EQ(agent.Counter("dns_forward_failed"), 1u);
}

TEST("dns: a query is forwarded from its pod, or from the node where the resolver is only there") {
  const NameServer::Rule answer = [](const auto& query) { return Messages{AnswerTo(query)}; };
  NameServer of_pods("10.202.53.53", answer);
  NameServer of_node("10.202.53.54", answer);
  for (NameServer* server : {&of_pods, &of_node}) {
    const bool from_node = server == &of_node;
    ForwardingAgent agent({{from_node ? "10.202.53.54" : "10.202.53.53", from_node}});
    CHECK(AskUdp(agent.get(), 1, kQuery) == AnswerTo(kQuery));
    CHECK_EQ(server->LastClient() == TestAgent::AddressOf(1), !from_node);
    CHECK(AskTcp(agent.Connect(), kQuery) == AnswerTo(kQuery));
    CHECK_EQ(server->LastClient() == TestAgent::AddressOf(1), !from_node);
    CHECK_EQ(agent.Counter("dns_forwarded"), 2u);
    CHECK_EQ(agent.Upstreams(), "7: 2 answered, 0 failed\n");
  }
}

TEST(
    "dns: what answers another question is not taken, also where the right answer comes right "
    "behind it") {
  std::vector<uint8_t> other_id = AnswerTo(kQuery);
  other_id[0] ^= 1;
  std::vector<uint8_t> other_name = AnswerTo(kQuery);
  other_name[13] = 'x';
  std::vector<uint8_t> other_type = AnswerTo(kQuery);
  other_type[18] = 28;
  const std::vector<uint8_t> bytes{1, 2, 3};
  NameServer server("10.202.53.53", [&](const auto& query) {
    return Messages{other_id, other_name, other_type, bytes, AnswerTo(query)};
  });
  ForwardingAgent agent({{"10.202.53.53", false}});
  CHECK(AskUdp(agent.get(), 1, kQuery) == AnswerTo(kQuery));
  CHECK_EQ(agent.Counter("dns_forward_mismatched"), 4u);
  CHECK(AskTcp(agent.Connect(), kQuery) == AnswerTo(kQuery));
  CHECK_EQ(agent.Counter("dns_forward_mismatched"), 8u);
}

TEST("dns: a resolver that floods with what is no answer is left for the next one") {
  const std::vector<uint8_t> empty;
  NameServer flooding("10.202.53.53", [&](const auto&) { return Messages(100, empty); });
  NameServer good("10.202.53.54", [](const auto& query) { return Messages{AnswerTo(query)}; });
  ForwardingAgent agent({{"10.202.53.53", false}, {"10.202.53.54", false}});
  CHECK(AskUdp(agent.get(), 1, kQuery) == AnswerTo(kQuery));
  CHECK(AskTcp(agent.Connect(), kQuery) == AnswerTo(kQuery));
  CHECK_EQ(agent.Counter("dns_forward_mismatched"), 32u);
}

TEST(
    "dns: a resolver that refuses is passed over; when all do, the first one's refusal is the "
    "answer") {
  std::vector<uint8_t> servfail = AnswerTo(kQuery);
  servfail[3] = 2;
  std::vector<uint8_t> refused = AnswerTo(kQuery);
  refused[3] = 5;
  std::vector<uint8_t> no_such_name = AnswerTo(kQuery);
  no_such_name[3] = 3;
  NameServer failing("10.202.53.53", [&](const auto&) { return Messages{servfail}; });
  NameServer refusing("10.202.53.54", [&](const auto&) { return Messages{refused}; });
  NameServer good("10.202.53.55", [&](const auto&) { return Messages{no_such_name}; });
  {
    ForwardingAgent agent(
        {{"10.202.53.53", false}, {"10.202.53.54", false}, {"10.202.53.55", false}});
    CHECK(AskUdp(agent.get(), 1, kQuery) == no_such_name);
    // That a name does not exist is an answer.
    CHECK_EQ(agent.Upstreams(), "7: 1 answered, 0 failed\n");
  }
  ForwardingAgent agent({{"10.202.53.54", false}, {"10.202.53.53", false}});
  CHECK(AskUdp(agent.get(), 1, kQuery) == refused);
  CHECK_EQ(agent.Counter("dns_forward_failed"), 1u);
  CHECK_EQ(agent.Upstreams(), "7: 0 answered, 1 failed\n");
}

TEST("dns: resolvers that never answer end in SERVFAIL, and that is no timeout of ours") {
  NameServer silent("10.202.53.53", [](const auto&) { return Messages{}; });
  NameServer silent_too("10.202.53.54", [](const auto&) { return Messages{}; });
  ForwardingAgent agent({{"10.202.53.53", false}, {"10.202.53.54", false}});
  CHECK(AskUdp(agent.get(), 1, kQuery) == kServfail);
  CHECK_EQ(agent.Counter("dns_forward_failed"), 1u);
  CHECK_EQ(agent.Counter("dns_timeouts"), 0u);
  CHECK_EQ(agent.Upstreams(), "7: 0 answered, 1 failed\n");
}

TEST("dns: an answer that a client's datagram does not hold comes truncated, and whole over TCP") {
  std::vector<uint8_t> large = AnswerTo(kQuery);
  large[7] = 1;
  large.resize(1400);
  NameServer server("10.202.53.53", [&](const auto&) { return Messages{large}; });
  ForwardingAgent agent({{"10.202.53.53", false}});
  std::vector<uint8_t> truncated = kQuery;
  truncated[2] = 0x83;
  CHECK(AskUdp(agent.get(), 1, kQuery) == truncated);
  CHECK(AskTcp(agent.Connect(), kQuery) == large);
  std::vector<uint8_t> with_edns = kQuery;
  with_edns[11] = 1;
  for (const uint8_t byte :
       std::initializer_list<uint8_t>{0, 0, 41, 1400 >> 8, 1400 & 0xff, 0, 0, 0, 0, 0, 0})
    with_edns.push_back(byte);
  CHECK(AskUdp(agent.get(), 1, with_edns) == large);
}

TEST("dns: queries of one id at once are told apart") {
  NameServer server("10.202.53.53", [](const auto& query) { return Messages{AnswerTo(query)}; });
  ForwardingAgent agent({{"10.202.53.53", false}});
  const UniqueFd first = agent.Connect();
  const UniqueFd second = agent.Connect();
  std::vector<uint8_t> other = kQuery;
  other[13] = 'n';
  const auto frame = [](const std::vector<uint8_t>& query) {
    const std::vector<uint8_t> bytes = WithLength(query);
    return std::string(bytes.begin(), bytes.end());
  };
  REQUIRE(SendAll(first, frame(kQuery)) && SendAll(second, frame(other)));
  CHECK(ReceiveUpTo(first, AnswerTo(kQuery).size() + 2) == frame(AnswerTo(kQuery)));
  CHECK(ReceiveUpTo(second, AnswerTo(other).size() + 2) == frame(AnswerTo(other)));
}

TEST("dns: TCP messages of no bytes, of 4,096 bytes, and byte by byte") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    return msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(kQuery)}};
  });
  const UniqueFd client = ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp)));
  const auto frame = [](const std::vector<uint8_t>& message) {
    const std::vector<uint8_t> bytes = WithLength(message);
    return std::string(bytes.begin(), bytes.end());
  };
  std::vector<uint8_t> largest = kQuery;
  largest.resize(kDnsQueryBytesMax);
  REQUIRE(SendAll(client, frame({}) + frame({}) + frame(largest) + frame({})));
  for (const char byte : frame(kQuery)) REQUIRE(SendAll(client, std::string(1, byte)));
  const std::string answer = frame(AnswerTo(kQuery));
  CHECK_EQ(ReceiveUpTo(client, 2 * answer.size()), answer + answer);
  CHECK_EQ(agent.Counter("dns_malformed"), 3u);
  CHECK_EQ(agent.Counter("dns_queries"), 2u);
}

TEST("dns: a query of more bytes than are carried is refused at once, by UDP and by TCP") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    return msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(q.message)}};
  });
  std::vector<uint8_t> large = kQuery;
  large.resize(kDnsQueryBytesMax + 1);
  std::vector<uint8_t> largest = kQuery;
  largest.resize(65535);
  const std::vector<uint8_t> refusal = MakeRefusal(kQuery, DnsRefusal::kFormatError);
  CHECK(AskUdp(&agent, 1, large) == refusal);
  large.resize(20000);
  CHECK(AskUdp(&agent, 1, large) == refusal);
  const UniqueFd client = ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp)));
  CHECK(AskTcp(client, largest) == refusal);
  // The connection goes on, and ends when its client has said all.
  CHECK(AskTcp(client, kQuery) == AnswerTo(kQuery));
  CHECK(AskTcp(client, largest) == refusal);
  shutdown(client.get(), SHUT_WR);
  CHECK_EQ(Peek(client), "end");
  CHECK_EQ(agent.Counter("dns_too_large"), 4u);
  CHECK_EQ(agent.Counter("dns_queries"), 1u);
}

TEST("dns: messages under way are bounded in bytes, and a pod has as many as are left for others") {
  TestAgent agent([](msg::EngineOptions* options) { options->worker_threads = 1; });
  agent.AddPod(1, true);
  agent.AddPod(2, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    if (q.pod == 1) return std::optional<msg::DnsAnswer>();
    return std::optional(msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(q.message)}});
  });
  std::vector<uint8_t> large = kQuery;
  large.resize(kDnsQueryBytesMax);
  std::string frames;
  for (int i = 0; i < 400; ++i) {
    const std::vector<uint8_t> frame = WithLength(large);
    frames.append(frame.begin(), frame.end());
  }
  const UniqueFd client = ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp)));
  std::thread sender([&] { (void)SendAll(client, frames); });
  // Half of 2 MiB; the rest waits unread.
  CHECK(TestAgent::Eventually([&] { return agent.Counter("dns_queries") == 256; }));
  CHECK(AskUdp(&agent, 2, kQuery) == AnswerTo(kQuery));
  CHECK_EQ(agent.Counter("dns_queries"), 257u);
  shutdown(client.get(), SHUT_RDWR);
  sender.join();
}

TEST("dns: a TCP client that has said all gets every answer, then the end") {
  TestAgent agent;
  agent.AddPod(1, true);
  agent.SetDnsRule([](const msg::DnsQuery& q) {
    return msg::DnsAnswer{q.query, msg::DnsReply{AnswerTo(q.message)}};
  });
  const UniqueFd client = ConnectTo(At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_tcp)));
  const std::vector<uint8_t> frame = WithLength(kQuery);
  std::string frames;
  for (int i = 0; i < 100; ++i) frames.append(frame.begin(), frame.end());
  REQUIRE(SendAll(client, frames));
  shutdown(client.get(), SHUT_WR);
  CHECK_EQ(ReceiveUpTo(client, 1 << 20).size(), 100 * (AnswerTo(kQuery).size() + 2));
}

TEST("dns: what is no query is dropped and counted") {
  TestAgent agent;
  agent.AddPod(1, true);

  const UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage server;
  const socklen_t length =
      At("10.202.0.53", PortOf(agent.node.ListenersOf(1).dns_udp)).ToSockaddr(AF_INET, &server);
  sendto(client.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&server), length);
  // Nobody asked for an answer.
  const std::vector<uint8_t> answer = AnswerTo(kQuery);
  sendto(client.get(), answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&server),
         length);
  CHECK(TestAgent::Eventually([&] { return agent.Counter("dns_malformed") == 2; }));
  CHECK_EQ(agent.Counter("dns_queries"), 0u);
}

RUN_TESTS()
