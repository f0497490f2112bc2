// SPDX-License-Identifier: Apache-2.0
#include "support/name_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "dns/dns_message.h"
#include "support/loopback.h"

namespace groundwire {
namespace {

UniqueFd OpenDatagramSocket(const std::string& address) {
  EnterPrivateNetwork();
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage storage;
  const socklen_t length = At(address, 53).ToSockaddr(AF_INET, &storage);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    std::perror("bind name server");
    std::abort();
  }
  return fd;
}

}  // namespace

NameServer::NameServer(const std::string& address, Rule rule)
    : rule_(std::move(rule)),
      udp_(OpenDatagramSocket(address)),
      tcp_(ListenOn(address, 53)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      thread_([this] { Serve(); }) {}

NameServer::~NameServer() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

std::string NameServer::LastClient() {
  const std::lock_guard lock(mutex_);
  return last_client_;
}

void NameServer::Serve() {
  for (;;) {
    pollfd ready[] = {{stop_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
    if (poll(ready, std::size(ready), -1) < 0) continue;
    if (ready[0].revents != 0) return;
    if (ready[1].revents != 0) AnswerDatagram();
    if (ready[2].revents != 0) AnswerStream();
  }
}

void NameServer::AnswerDatagram() {
  Message query(65535);
  sockaddr_storage client{};
  socklen_t length = sizeof client;
  const ssize_t size = recvfrom(udp_.get(), query.data(), query.size(), 0,
                                reinterpret_cast<sockaddr*>(&client), &length);
  if (size < 0) return;
  query.resize(static_cast<size_t>(size));
  Remember(SocketAddress::FromSockaddr(client).ip.ToString());
  for (const Message& answer : rule_(query)) {
    sendto(udp_.get(), answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&client),
           length);
  }
}

void NameServer::AnswerStream() {
  UniqueFd stream = AcceptOne(tcp_);
  const std::string head = ReceiveUpTo(stream, 2);
  if (head.size() != 2) return;
  const std::string query = ReceiveUpTo(
      stream,
      static_cast<size_t>(static_cast<uint8_t>(head[0]) << 8 | static_cast<uint8_t>(head[1])));
  sockaddr_storage client{};
  socklen_t length = sizeof client;
  getpeername(stream.get(), reinterpret_cast<sockaddr*>(&client), &length);
  Remember(SocketAddress::FromSockaddr(client).ip.ToString());
  std::string frames;
  for (const Message& answer : rule_({query.begin(), query.end()})) {
    const Message frame = WithLength(answer);
    frames.append(frame.begin(), frame.end());
  }
  SendAll(stream, frames);
  streams_.push_back(std::move(stream));
}

void NameServer::Remember(const std::string& client) {
  const std::lock_guard lock(mutex_);
  last_client_ = client;
}

}  // namespace groundwire
