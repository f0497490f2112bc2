// SPDX-License-Identifier: Apache-2.0
#include "dns/dns_relay.h"

#include <sys/socket.h>

#include <utility>
#include <variant>

#include "dns/dns_tcp_client.h"
#include "dns/dns_udp_listener.h"
#include "io/socket_options.h"

namespace groundwire {
namespace {

constexpr uint32_t kQueriesPerPodMax = 512;
// Of messages that are kept while they are under way, a worker.
constexpr size_t kQueryBytesMax = size_t{2} << 20;
constexpr size_t kUpstreamRowsMax = 10000;
constexpr size_t kTcpClientsMax = 1024;
constexpr uint32_t kTcpClientsPerPodMax = 64;
constexpr uint64_t kQueryTimeoutMs = 5000;

}  // namespace

DnsRelay::DnsRelay(const ThreadContext& thread, PodSockets* sockets)
    : thread_(thread), sockets_(sockets), upstreams_(kUpstreamRowsMax) {}

DnsRelay::~DnsRelay() = default;

void DnsRelay::AddPod(const std::shared_ptr<const Pod>& pod) {
  if (!pod->dns_udp.valid()) return;
  auto listener = std::make_unique<UdpListener>(this, pod);
  if (!listener->Start()) return thread_.counters->Add(Counter::kDnsWatchFailed);
  listeners_[pod->id] = std::move(listener);
}

void DnsRelay::RemovePod(uint32_t pod) {
  if (auto node = listeners_.extract(pod); !node.empty()) {
    node.mapped()->Stop();
    thread_.loop->Discard(std::move(node.mapped()));
  }
  std::vector<uint64_t> clients;
  for (const auto& [id, client] : tcp_clients_) {
    if (client->pod().id == pod) clients.push_back(id);
  }
  for (const uint64_t id : clients) {
    tcp_clients_[id]->Stop();
    EraseTcpClient(id);
  }
  std::vector<uint64_t> queries;
  for (const auto& [id, query] : queries_) {
    if (query.pod->id == pod) queries.push_back(id);
  }
  for (const uint64_t id : queries) Finish(id, {});
}

void DnsRelay::CloseAll() {
  listeners_.clear();
  while (!queries_.empty()) Finish(queries_.begin()->first, {});
  tcp_clients_.clear();
  tcp_clients_of_pod_.clear();
  waiting_.clear();
}

void DnsRelay::AcceptTcp(const std::shared_ptr<const Pod>& pod, UniqueFd fd,
                         const SocketAddress& source) {
  const auto of_pod = tcp_clients_of_pod_.find(pod->id);
  const bool pod_full =
      of_pod != tcp_clients_of_pod_.end() && of_pod->second >= kTcpClientsPerPodMax;
  if (pod_full || tcp_clients_.size() >= kTcpClientsMax) {
    thread_.counters->Add(Counter::kDnsTcpLimit);
    return CloseWithReset(&fd);
  }
  const uint64_t id = ++sequence_;
  auto client = std::make_unique<TcpClient>(this, id, pod, std::move(fd), source);
  if (!client->Start()) {
    client->Stop();
    return thread_.counters->Add(Counter::kDnsWatchFailed);
  }
  tcp_clients_[id] = std::move(client);
  ++tcp_clients_of_pod_[pod->id];
}

bool DnsRelay::HasRoom(uint32_t pod) const {
  const auto of_pod = of_pod_.find(pod);
  if (of_pod == of_pod_.end()) return true;
  return of_pod->second.queries < kQueriesPerPodMax &&
         of_pod->second.bytes + bytes_ < kQueryBytesMax;
}

void DnsRelay::ResumeWaiting() {
  if (waiting_.empty() || std::exchange(resuming_, true)) return;
  thread_.loop->Defer([this] {
    resuming_ = false;
    const std::vector<uint64_t> waited = std::exchange(waiting_, {});
    for (const uint64_t id : waited) {
      if (const auto client = tcp_clients_.find(id); client != tcp_clients_.end())
        client->second->Resume();
    }
  });
}

bool DnsRelay::Ask(Query query) {
  if (!IsQuery(query.message)) {
    thread_.counters->Add(Counter::kDnsMalformed);
    return false;
  }
  if (query.message.size() > kDnsQueryBytesMax) {
    thread_.counters->Add(Counter::kDnsTooLarge);
    Reply(query, MakeRefusal(query.message, DnsRefusal::kFormatError));
    return true;
  }
  thread_.counters->Add(Counter::kDnsQueries);
  if (!HasRoom(query.pod->id)) {
    thread_.counters->Add(Counter::kDnsQueueFull);
    return false;
  }
  UnderWay& of_pod = of_pod_[query.pod->id];
  ++of_pod.queries;
  of_pod.bytes += query.message.size();
  bytes_ += query.message.size();
  const uint64_t id = thread_.ids->Next();
  msg::DnsQuery event{id,           query.pod->id, query.transport,
                      query.source, query.server,  query.message};
  query.deadline = thread_.loop->After(kQueryTimeoutMs, [this, id] {
    thread_.counters->Add(Counter::kDnsTimeouts);
    FinishWithServfail(id);
  });
  queries_.emplace(id, std::move(query));
  thread_.events->Push(event);
  return true;
}

void DnsRelay::TakeAnswer(const msg::DnsAnswer& answer) {
  const auto found = queries_.find(answer.query);
  if (found == queries_.end() || found->second.forward) return;
  if (const auto* forward = std::get_if<msg::DnsForward>(&answer.outcome)) {
    found->second.label = forward->label;
    return Forward(answer.query, &found->second);
  }
  thread_.counters->Add(Counter::kDnsAnswered);
  Finish(answer.query, std::get<msg::DnsReply>(answer.outcome).message);
}

void DnsRelay::Forward(uint64_t id, Query* query) {
  thread_.counters->Add(Counter::kDnsForwarded);
  // From here on the resolvers have their time.
  thread_.loop->Cancel(&query->deadline);
  query->forwarded_us = thread_.loop->now_us();
  query->forward = std::make_unique<DnsForward>(
      thread_, sockets_, query->pod, query->transport, query->message,
      [this, id](const std::vector<uint8_t>& answer) { FinishForward(id, answer); });
  query->forward->Start();
}

void DnsRelay::FinishForward(uint64_t id, std::span<const uint8_t> answer) {
  const auto found = queries_.find(id);
  if (found == queries_.end()) return;
  const Query& query = found->second;
  const bool failed = answer.empty() || IsRefusal(answer);
  const bool has_row =
      failed ? upstreams_.CountFailure(query.label)
             : upstreams_.CountAnswer(query.label, thread_.loop->now_us() - query.forwarded_us);
  if (!has_row) thread_.counters->Add(Counter::kDnsRowsFull);
  if (failed) thread_.counters->Add(Counter::kDnsForwardFailed);
  return answer.empty() ? FinishWithServfail(id) : Finish(id, answer);
}

void DnsRelay::FinishWithServfail(uint64_t id) {
  const auto found = queries_.find(id);
  if (found == queries_.end()) return;
  Finish(id, MakeRefusal(found->second.message, DnsRefusal::kServfail));
}

void DnsRelay::Finish(uint64_t id, std::span<const uint8_t> answer) {
  auto node = queries_.extract(id);
  if (node.empty()) return;
  Query& query = node.mapped();
  thread_.loop->Cancel(&query.deadline);
  const auto of_pod = of_pod_.find(query.pod->id);
  of_pod->second.bytes -= query.message.size();
  bytes_ -= query.message.size();
  if (--of_pod->second.queries == 0) of_pod_.erase(of_pod);
  ResumeWaiting();
  if (query.forward) {
    query.forward->Stop();
    thread_.loop->Discard(std::move(query.forward));
  }
  Reply(query, answer);
}

void DnsRelay::Reply(const Query& query, std::span<const uint8_t> answer) {
  if (query.transport == msg::DnsTransport::kUdp) {
    if (answer.empty()) return;
    const bool fits = answer.size() <= UdpLimitOf(query.message);
    return fits ? ReplyUdp(query, answer) : ReplyUdp(query, Truncate(answer));
  }
  const auto client = tcp_clients_.find(query.tcp_client);
  if (client != tcp_clients_.end()) client->second->Reply(answer);
}

void DnsRelay::ReplyUdp(const Query& query, std::span<const uint8_t> answer) {
  const auto socket = sockets_->OpenDnsReplySocket(query.pod->netns_fd, query.server);
  if (!socket.ok()) return thread_.counters->Add(Counter::kDnsReplyFailed);
  const UniqueFd fd(socket.value());
  sockaddr_storage storage;
  const socklen_t length = query.source.ToSockaddr(query.server.family(), &storage);
  const ssize_t sent = sendto(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&storage), length);
  if (sent < 0) thread_.counters->Add(Counter::kDnsReplyFailed);
}

void DnsRelay::EraseTcpClient(uint64_t id) {
  auto node = tcp_clients_.extract(id);
  if (node.empty()) return;
  const auto of_pod = tcp_clients_of_pod_.find(node.mapped()->pod().id);
  if (--of_pod->second == 0) tcp_clients_of_pod_.erase(of_pod);
  thread_.loop->Discard(std::move(node.mapped()));
}

}  // namespace groundwire
