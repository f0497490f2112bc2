// SPDX-License-Identifier: Apache-2.0
#include "dns_relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mesh_abi.h"
#include "socket_options.h"
#include "worker.h"

namespace groundwire {
namespace {

constexpr uint32_t kQueriesPerPodMax = 512;
constexpr size_t kUpstreamRowsMax = 10000;
constexpr size_t kTcpClientsMax = 1024;
constexpr uint32_t kTcpClientsPerPodMax = 64;
constexpr uint64_t kQueryTimeoutMs = 5000;
constexpr uint64_t kTcpIdleMs = 30000;
constexpr int kDatagramsPerEvent = 64;
constexpr int kTcpStepsPerTurn = 64;  // a read or a message is one
constexpr size_t kReadBytes = 4096;

/// The address that was asked (IP_PKTINFO, IPV6_RECVPKTINFO of the listener).
bool FindAskedAddress(msghdr* message, SocketAddress* asked) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    sockaddr_storage storage{};
    if (header->cmsg_level == SOL_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
      in6->sin6_family = AF_INET6;
      in6->sin6_addr = info.ipi6_addr;
    } else if (header->cmsg_level == SOL_IP && header->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      auto* in = reinterpret_cast<sockaddr_in*>(&storage);
      in->sin_family = AF_INET;
      in->sin_addr = info.ipi_addr;
    } else {
      continue;
    }
    *asked = SocketAddress::FromSockaddr(storage);
    asked->port = MESH_PORT_DNS;
    return true;
  }
  return false;
}

}  // namespace

class DnsRelay::UdpListener final : public EventHandler, public Discardable {
 public:
  UdpListener(DnsRelay* relay, std::shared_ptr<const Pod> pod)
      : relay_(relay), pod_(std::move(pod)) {}
  ~UdpListener() override { Stop(); }
  bool Start() {
    watching_ = relay_->worker_->loop()->WatchListener(pod_->dns_udp.get(), this).ok();
    return watching_;
  }
  void Stop() {
    if (std::exchange(watching_, false)) relay_->worker_->loop()->Unwatch(pod_->dns_udp.get());
  }
  void OnEvents(uint32_t) override {
    for (int i = 0; i < kDatagramsPerEvent && watching_; ++i) {
      if (!ReceiveOne()) return;
    }
  }

 private:
  bool ReceiveOne() {
    // One more than what is carried shows that there is more.
    std::array<uint8_t, kDnsQueryBytesMax + 1> bytes{};
    alignas(cmsghdr) std::array<char, 256> control{};
    sockaddr_storage source{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_name = &source;
    message.msg_namelen = sizeof source;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = recvmsg(pod_->dns_udp.get(), &message, 0);
    if (size < 0) return errno == EINTR;
    Query query;
    if ((message.msg_flags & MSG_CTRUNC) != 0 || !FindAskedAddress(&message, &query.server)) {
      relay_->worker_->counters().Add(Counter::kDnsMalformed);
      return true;
    }
    query.pod = pod_;
    query.transport = msg::DnsTransport::kUdp;
    query.source = SocketAddress::FromSockaddr(source);
    query.message.assign(bytes.begin(), bytes.begin() + size);
    relay_->Ask(std::move(query));
    return true;
  }

  DnsRelay* const relay_;
  const std::shared_ptr<const Pod> pod_;
  bool watching_ = false;
};

/// One TCP connection of a resolver library: queries in any number, answers in the order in which
/// they come.
class DnsRelay::TcpClient final : public EventHandler, public Discardable {
 public:
  TcpClient(DnsRelay* relay, uint64_t id, std::shared_ptr<const Pod> pod, UniqueFd fd,
            const SocketAddress& source)
      : relay_(relay),
        id_(id),
        pod_(std::move(pod)),
        source_(source),
        server_(LocalAddress(fd.get())),
        socket_(std::move(fd)) {}
  ~TcpClient() override { relay_->worker_->loop()->Cancel(&idle_); }
  bool Start() {
    RestartIdle();
    return relay_->worker_->loop()->Watch(socket_.fd(), this).ok();
  }
  void OnEvents(uint32_t events) override {
    if (!socket_.open()) return;
    socket_.NoteEvents(events);
    size_t sent = 0;
    if ((events & EPOLLERR) != 0 || socket_.SendKept(&sent) == AppSocket::Result::kReset)
      return End();
    if (!waiting_) Receive();
    EndIfDone();
  }
  /// The turn that it waited for has come, or room for another query.
  void Resume() {
    waiting_ = false;
    if (socket_.open()) Receive();
    EndIfDone();
  }
  /// The end of one of its queries; `message` is empty when there is nothing to say.
  void Reply(std::span<const uint8_t> message) {
    --pending_;
    if (!socket_.open()) return;
    if (message.empty()) return EndIfDone();
    const std::vector<uint8_t> frame = WithLength(message);
    size_t sent = 0;
    // A client that does not read its answers is not worth keeping.
    if (socket_.Send(frame.data(), frame.size(), &sent) == AppSocket::Result::kReset ||
        socket_.kept() > kKeptMax) {
      return End();
    }
    RestartIdle();
    EndIfDone();
  }
  void Stop() { socket_.CloseWithReset(); }
  const Pod& pod() const { return *pod_; }

 private:
  static constexpr size_t kKeptMax = size_t{256} * 1024;

  /// So much a turn that one client cannot keep the worker from the others; what is left stays with
  /// the kernel.
  void Receive() {
    for (int step = 0; step < kTcpStepsPerTurn; ++step) {
      if (!socket_.open()) return;
      if (!relay_->HasRoom(pod_->id)) return Wait();
      if (auto message = frames_.Next()) {
        Ask(std::move(*message));
      } else if (!ReadMore()) {
        return;
      }
    }
    Wait();
    relay_->ResumeWaiting();
  }
  bool ReadMore() {
    std::array<uint8_t, kReadBytes> bytes;
    size_t size = bytes.size();
    const AppSocket::Result result = socket_.Receive(bytes.data(), &size);
    if (result == AppSocket::Result::kReset) End();
    if (result != AppSocket::Result::kOk) return false;
    frames_.Append({bytes.data(), size});
    return true;
  }
  void Ask(std::vector<uint8_t> message) {
    Query query;
    query.pod = pod_;
    query.transport = msg::DnsTransport::kTcp;
    query.source = source_;
    query.server = server_;
    query.message = std::move(message);
    query.tcp_client = id_;
    // A whole message, not each byte of one, keeps the connection.
    RestartIdle();
    // The reply may come at once.
    ++pending_;
    if (!relay_->Ask(std::move(query))) --pending_;
  }
  /// A client that has said all is owed the answers; then the connection ends.
  void EndIfDone() {
    if (socket_.open() && socket_.drained() && !waiting_ && pending_ == 0 && socket_.kept() == 0)
      End();
  }
  void Wait() {
    waiting_ = true;
    relay_->waiting_.push_back(id_);
  }
  void RestartIdle() {
    EventLoop* loop = relay_->worker_->loop();
    loop->Cancel(&idle_);
    idle_ = loop->After(kTcpIdleMs, [this] { End(); });
  }
  void End() {
    socket_.Close();
    relay_->EraseTcpClient(id_);
  }

  DnsRelay* const relay_;
  const uint64_t id_;
  const std::shared_ptr<const Pod> pod_;
  const SocketAddress source_;
  const SocketAddress server_;
  AppSocket socket_;
  DnsFrames frames_;
  bool waiting_ = false;  // it is in the relay's list
  uint32_t pending_ = 0;  // queries under way
  EventLoop::TimerId idle_{};
};

DnsRelay::DnsRelay(Worker* worker) : worker_(worker), upstreams_(kUpstreamRowsMax) {}

DnsRelay::~DnsRelay() = default;

void DnsRelay::AddPod(const std::shared_ptr<const Pod>& pod) {
  if (!pod->dns_udp.valid()) return;
  auto listener = std::make_unique<UdpListener>(this, pod);
  if (!listener->Start()) return worker_->counters().Add(Counter::kDnsWatchFailed);
  listeners_[pod->id] = std::move(listener);
}

void DnsRelay::RemovePod(uint32_t pod) {
  if (auto node = listeners_.extract(pod); !node.empty()) {
    node.mapped()->Stop();
    worker_->loop()->Discard(std::move(node.mapped()));
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
    worker_->counters().Add(Counter::kDnsTcpLimit);
    return CloseWithReset(&fd);
  }
  const uint64_t id = ++sequence_;
  auto client = std::make_unique<TcpClient>(this, id, pod, std::move(fd), source);
  if (!client->Start()) {
    client->Stop();
    return worker_->counters().Add(Counter::kDnsWatchFailed);
  }
  tcp_clients_[id] = std::move(client);
  ++tcp_clients_of_pod_[pod->id];
}

bool DnsRelay::HasRoom(uint32_t pod) const {
  const auto of_pod = queries_of_pod_.find(pod);
  return of_pod == queries_of_pod_.end() || of_pod->second < kQueriesPerPodMax;
}

void DnsRelay::ResumeWaiting() {
  if (waiting_.empty() || std::exchange(resuming_, true)) return;
  worker_->loop()->Defer([this] {
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
    worker_->counters().Add(Counter::kDnsMalformed);
    return false;
  }
  if (query.message.size() > kDnsQueryBytesMax) {
    worker_->counters().Add(Counter::kDnsTooLarge);
    Reply(query, MakeRefusal(query.message, DnsRefusal::kFormatError));
    return true;
  }
  worker_->counters().Add(Counter::kDnsQueries);
  if (!HasRoom(query.pod->id)) {
    worker_->counters().Add(Counter::kDnsQueueFull);
    return false;
  }
  ++queries_of_pod_[query.pod->id];
  const uint64_t id = worker_->NextConnectionId();
  msg::DnsQuery event{id,           query.pod->id, query.transport,
                      query.source, query.server,  query.message};
  query.deadline = worker_->loop()->After(kQueryTimeoutMs, [this, id] {
    worker_->counters().Add(Counter::kDnsTimeouts);
    FinishWithServfail(id);
  });
  queries_.emplace(id, std::move(query));
  worker_->events().Push(std::move(event));
  return true;
}

void DnsRelay::TakeAnswer(const msg::DnsAnswer& answer) {
  const auto found = queries_.find(answer.query);
  if (found == queries_.end() || found->second.forward) return;
  if (answer.message.empty()) {
    found->second.label = answer.label;
    return Forward(answer.query, &found->second);
  }
  worker_->counters().Add(Counter::kDnsAnswered);
  Finish(answer.query, answer.message);
}

void DnsRelay::Forward(uint64_t id, Query* query) {
  worker_->counters().Add(Counter::kDnsForwarded);
  // From here on the resolvers have their time.
  worker_->loop()->Cancel(&query->deadline);
  query->forwarded_us = worker_->loop()->now_us();
  query->forward = std::make_unique<DnsForward>(
      worker_, query->pod, query->transport, query->message,
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
             : upstreams_.CountAnswer(query.label, worker_->loop()->now_us() - query.forwarded_us);
  if (!has_row) worker_->counters().Add(Counter::kDnsRowsFull);
  if (failed) worker_->counters().Add(Counter::kDnsForwardFailed);
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
  worker_->loop()->Cancel(&query.deadline);
  const auto of_pod = queries_of_pod_.find(query.pod->id);
  if (--of_pod->second == 0) queries_of_pod_.erase(of_pod);
  ResumeWaiting();
  if (query.forward) {
    query.forward->Stop();
    worker_->loop()->Discard(std::move(query.forward));
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
  const auto socket = worker_->sockets().OpenDnsReplySocket(query.pod->netns_fd, query.server);
  if (!socket.ok()) return worker_->counters().Add(Counter::kDnsReplyFailed);
  const UniqueFd fd(socket.value());
  sockaddr_storage storage;
  const socklen_t length = query.source.ToSockaddr(query.server.family(), &storage);
  const ssize_t sent = sendto(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&storage), length);
  if (sent < 0) worker_->counters().Add(Counter::kDnsReplyFailed);
}

void DnsRelay::EraseTcpClient(uint64_t id) {
  auto node = tcp_clients_.extract(id);
  if (node.empty()) return;
  const auto of_pod = tcp_clients_of_pod_.find(node.mapped()->pod().id);
  if (--of_pod->second == 0) tcp_clients_of_pod_.erase(of_pod);
  worker_->loop()->Discard(std::move(node.mapped()));
}

}  // namespace groundwire
