// SPDX-License-Identifier: Apache-2.0
#include "dns/dns_tcp_client.h"

#include <sys/epoll.h>

#include <array>
#include <utility>

#include "io/socket_options.h"

namespace groundwire {
namespace {

constexpr uint64_t kTcpIdleMs = 30000;
constexpr int kTcpStepsPerTurn = 64;  // a read or a message is one
constexpr size_t kReadBytes = 4096;
constexpr size_t kKeptMax = size_t{256} * 1024;

}  // namespace

DnsRelay::TcpClient::TcpClient(DnsRelay* relay, uint64_t id, std::shared_ptr<const Pod> pod,
                               UniqueFd fd, const SocketAddress& source)
    : relay_(relay),
      id_(id),
      pod_(std::move(pod)),
      source_(source),
      server_(LocalAddress(fd.get())),
      socket_(std::move(fd), relay->thread_.kept->AccountOf(pod_->id)) {}

DnsRelay::TcpClient::~TcpClient() { relay_->thread_.loop->Cancel(&idle_); }

bool DnsRelay::TcpClient::Start() {
  RestartIdle();
  return relay_->thread_.loop->Watch(socket_.fd(), this).ok();
}

void DnsRelay::TcpClient::OnEvents(uint32_t events) {
  if (!socket_.open()) return;
  socket_.NoteEvents(events);
  size_t sent = 0;
  if ((events & EPOLLERR) != 0 || socket_.SendKept(&sent) == AppSocket::Result::kReset)
    return End();
  if (!waiting_) Receive();
  EndIfDone();
}

void DnsRelay::TcpClient::Resume() {
  waiting_ = false;
  if (socket_.open()) Receive();
  EndIfDone();
}

void DnsRelay::TcpClient::Reply(std::span<const uint8_t> message) {
  --pending_;
  if (!socket_.open()) return;
  if (message.empty()) return EndIfDone();
  const std::vector<uint8_t> frame = WithLength(message);
  size_t sent = 0;
  // A client that does not read its answers is not worth keeping.
  const AppSocket::Result result = socket_.Send(frame.data(), frame.size(), &sent);
  if (result == AppSocket::Result::kReset || result == AppSocket::Result::kFull ||
      socket_.kept() > kKeptMax) {
    return End();
  }
  RestartIdle();
  EndIfDone();
}

void DnsRelay::TcpClient::Receive() {
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

bool DnsRelay::TcpClient::ReadMore() {
  std::array<uint8_t, kReadBytes> bytes;
  size_t size = bytes.size();
  const AppSocket::Result result = socket_.Receive(bytes.data(), &size);
  if (result == AppSocket::Result::kReset) End();
  if (result != AppSocket::Result::kOk) return false;
  frames_.Append({bytes.data(), size});
  return true;
}

void DnsRelay::TcpClient::Ask(std::vector<uint8_t> message) {
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

void DnsRelay::TcpClient::EndIfDone() {
  if (socket_.open() && socket_.drained() && !waiting_ && pending_ == 0 && socket_.kept() == 0)
    End();
}

void DnsRelay::TcpClient::Wait() {
  waiting_ = true;
  relay_->waiting_.push_back(id_);
}

void DnsRelay::TcpClient::RestartIdle() {
  EventLoop* loop = relay_->thread_.loop;
  loop->Cancel(&idle_);
  idle_ = loop->After(kTcpIdleMs, [this] { End(); });
}

void DnsRelay::TcpClient::End() {
  socket_.Close();
  relay_->EraseTcpClient(id_);
}

}  // namespace groundwire
