// SPDX-License-Identifier: Apache-2.0
// The life of a DNS query of a captured pod.
//
//   1. datagram, or message on a TCP connection    no query: dns_malformed, dropped; over 4 KiB: dns_too_large, FORMERR;
//                                                  too many TCP connections: dns_tcp_limit, reset
//   2. DnsQuery to TypeScript                      512 queries of the pod, or its share of 2 MiB: TCP waits unread;
//                                                  datagrams are dropped, dns_queue_full (the client retries)
//   3. DnsAnswer                                   none in 5 s: dns_timeouts, SERVFAIL
//      with a message: that is the answer
//      empty: to the upstream resolvers            none answers: dns_forward_failed, SERVFAIL; all refuse:
//                                                  dns_forward_failed, the first one's refusal
//   4. the answer leaves from the address that     larger than a datagram's client takes: without records, truncated,
//      was asked                                   so that it asks over TCP
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "capture/pod.h"
#include "capture/pod_sockets.h"
#include "dns/dns_forward.h"
#include "dns/dns_message.h"
#include "dns/dns_upstream_table.h"
#include "io/thread_context.h"
#include "port/messages.gen.h"

namespace groundwire {

/// One a worker.
class DnsRelay {
 public:
  DnsRelay(const ThreadContext& thread, PodSockets* sockets);
  ~DnsRelay();
  DnsRelay(const DnsRelay&) = delete;
  DnsRelay& operator=(const DnsRelay&) = delete;

  void AddPod(const std::shared_ptr<const Pod>& pod);
  void RemovePod(uint32_t pod);
  void AcceptTcp(const std::shared_ptr<const Pod>& pod, UniqueFd fd, const SocketAddress& source);
  void TakeAnswer(const msg::DnsAnswer& answer);
  const DnsUpstreamTable& upstreams() const { return upstreams_; }
  void CloseAll();

 private:
  class UdpListener;
  class TcpClient;
  struct Query {
    std::shared_ptr<const Pod> pod;
    msg::DnsTransport transport{};
    SocketAddress source;
    SocketAddress server;
    std::vector<uint8_t> message;
    uint64_t tcp_client = 0;
    EventLoop::TimerId deadline{};
    std::unique_ptr<DnsForward> forward;
    uint32_t label = 0;
    uint64_t forwarded_us = 0;
  };

  /// Whether it was taken, which one reply will show; if not, it is counted and nobody answers.
  bool Ask(Query query);
  /// Of one pod, or of all: queries that are under way, and the bytes of their messages.
  struct UnderWay {
    uint32_t queries = 0;
    size_t bytes = 0;
  };

  /// Whether the pod may have one more query under way. It may have as many bytes as are left for all:
  /// a pod that takes all it can get leaves half.
  bool HasRoom(uint32_t pod) const;
  /// At the end of the turn, the TCP clients that wait go on.
  void ResumeWaiting();
  void Forward(uint64_t id, Query* query);
  void FinishForward(uint64_t id, std::span<const uint8_t> answer);
  /// Takes the query off the books and, unless `answer` is empty, sends it.
  void Finish(uint64_t id, std::span<const uint8_t> answer);
  void FinishWithServfail(uint64_t id);
  void Reply(const Query& query, std::span<const uint8_t> answer);
  void ReplyUdp(const Query& query, std::span<const uint8_t> answer);
  void EraseTcpClient(uint64_t id);

  const ThreadContext thread_;
  PodSockets* const sockets_;
  uint64_t sequence_ = 0;
  DnsUpstreamTable upstreams_;
  std::unordered_map<uint64_t, Query> queries_;
  std::unordered_map<uint32_t, UnderWay> of_pod_;
  size_t bytes_ = 0;  // of all messages
  std::unordered_map<uint32_t, std::unique_ptr<UdpListener>> listeners_;
  std::unordered_map<uint64_t, std::unique_ptr<TcpClient>> tcp_clients_;
  std::unordered_map<uint32_t, uint32_t> tcp_clients_of_pod_;
  std::vector<uint64_t> waiting_;  // TCP clients that have stopped reading
  bool resuming_ = false;
};

}  // namespace groundwire
