// SPDX-License-Identifier: Apache-2.0
// The life of a connection that reaches a captured pod through a tunnel.
//
//   1. accept from the pod's HBONE listener        IDENTITY_UNAVAILABLE (no certificate: nothing can be said, reset),
//                                                  LIMIT_CONNECTIONS (too many tunnels: reset),
//                                                  DELIVERY_RETURNED (a delivery of our own: reset)
//   2. TLS with the pod's certificate, HTTP/2      TLS_HANDSHAKE_FAILED, TLS_UNEXPECTED_IDENTITY, TLS_TRUST_DOMAIN,
//                                                  TLS_TIMEOUT, LIMIT_CONNECTIONS (late, gave way to a newer handshake)
//   for each CONNECT stream:
//   3. method and authority                        400: HBONE_BAD_REQUEST, HBONE_WRONG_ADDRESS; 503: LIMIT_CONNECTIONS
//   4. verdict, with the peer's identity           401 or 503 by the error table
//   5. deliver in the pod's namespace              503: ILLEGAL_DESTINATION (own listener), CONNECT_*
//   6. 200, relay until both directions have ended PEER_RESET, POLICY_LATE_DENIED, CERTIFICATE_EXPIRED, HBONE_*, ...
//   7. Finish: flow row, one event
#pragma once
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "connection.h"
#include "hbone_session.h"
#include "relay.h"
#include "tunnel_lease.h"

namespace groundwire {

class InboundTunnels;
class TlsStream;
struct TlsIdentity;

/// Steps 1 and 2: one accepted tunnel, for as long as its peer's identity is proven.
class InboundTunnel final : public HboneSessionOwner, public Discardable {
 public:
  InboundTunnel(Worker* worker, InboundTunnels* tunnels, std::shared_ptr<const Pod> pod,
                const SocketAddress& source);
  ~InboundTunnel() override;
  Status Start(UniqueFd fd, std::shared_ptr<const TlsIdentity> identity);

  void OnEstablished(HboneSession* session) override;
  void OnRequest(HboneSession* session, HboneStream* stream, HboneRequest request) override;
  void OnMalformedRequest(HboneSession*, const HboneRequest& request, const char* detail) override;
  void OnCapacity(HboneSession*) override;
  void OnSessionClosed(HboneSession* session, ErrorCode code, const std::string& detail) override;

  HboneSession* session() const { return session_.get(); }
  const std::shared_ptr<const Pod>& pod() const { return pod_; }
  const SocketAddress& source() const { return source_; }
  const SocketAddress& local() const { return local_; }
  bool established() const { return established_ms_ != 0; }
  uint64_t started_us() const { return started_us_; }
  /// Proven once it is established.
  const std::string& peer() const;
  msg::Tunnel Describe() const;

 private:
  Worker* const worker_;
  InboundTunnels* const tunnels_;
  const std::shared_ptr<const Pod> pod_;
  const SocketAddress source_;
  const uint64_t started_us_;
  SocketAddress local_;
  std::unique_ptr<HboneSession> session_;
  TlsStream* tls_ = nullptr;
  TunnelLease lease_;
  uint64_t established_ms_ = 0;
  EventLoop::TimerId idle_{};
};

/// The accepted tunnels of a worker.
class InboundTunnels {
 public:
  explicit InboundTunnels(Worker* worker) : worker_(worker) {}
  /// Step 1. Takes the accepted socket; `refusal`: what is known against it already.
  void Accept(const std::shared_ptr<const Pod>& pod, UniqueFd fd, const SocketAddress& source,
              ErrorCode refusal);
  /// The tunnel's handshake is over, well or not.
  void EndHandshake(InboundTunnel* tunnel);
  void Remove(InboundTunnel* tunnel);
  void DrainPod(uint32_t pod);
  void ClosePod(uint32_t pod, ErrorCode code);
  void CloseIdentity(const std::string& identity, ErrorCode code);
  void DrainAll();
  void CloseAll(ErrorCode code);
  void RecordRefusal(const InboundTunnel& tunnel, ErrorCode code, const std::string& detail,
                     const HboneRequest* request = nullptr);
  void AppendSnapshot(std::vector<msg::Tunnel>* tunnels) const;

 private:
  /// For one more handshake of that peer. Otherwise, by what it is counted that there is none.
  std::optional<Counter> MakeRoom(uint32_t pod, const IpAddress& peer);
  bool DisplaceIfLate(InboundTunnel* handshake);
  template <typename Predicate, typename Action>
  void ForEach(Predicate predicate, Action action);

  Worker* const worker_;
  std::list<std::unique_ptr<InboundTunnel>> tunnels_;
  /// How many of them, by the peer's address; no entry is 0.
  std::unordered_map<IpAddress, size_t, IpAddressHash> of_peer_;
  /// By pod, the oldest first; no entry is empty.
  std::unordered_map<uint32_t, std::deque<InboundTunnel*>> handshaking_;
};

/// Puts into a record what a request says of itself, cut to what a valid one can say.
void DescribeRequest(const HboneRequest& request, msg::ConnectionClosed* record);

/// Steps 3 to 7.
class InboundHboneConnection final : public Connection, public HboneStreamHandler {
 public:
  InboundHboneConnection(Worker* worker, const InboundTunnel& tunnel, HboneStream* stream);
  /// `refusal` ends it here.
  void Start(const HboneRequest& request, ErrorCode refusal);

  void Recheck(const std::unordered_set<uint64_t>& verdicts) override;
  using Connection::OnVerdict;
  void OnVerdict(const InboundVerdict& verdict) override;
  void OnDialled(ErrorCode code, UniqueFd fd) override;

  // Until the 200: what the peer sends ahead is kept, bounded by the stream's window.
  size_t ReadForTunnel(uint8_t*, size_t, bool*) override { return 0; }
  void OnResponse(uint16_t) override {}
  void OnTunnelData(const uint8_t* data, size_t size) override {
    ahead_.insert(ahead_.end(), data, data + size);
  }
  void OnTunnelEnd() override { ahead_ended_ = true; }
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override;

 protected:
  void Abort() override;
  void Refuse(ErrorCode code) override;

 private:
  ErrorCode ReadRequest(const HboneRequest& request);
  InboundKey Key() const;
  msg::InboundQuestion Question(uint64_t id) const;

  HboneSession* const session_;
  HboneStream* stream_;
  /// host:port as asked for when it is a hostname, "" for an IP literal.
  std::string hostname_authority_;
  InboundVerdict verdict_;
  std::vector<uint8_t> ahead_;
  bool ahead_ended_ = false;
  std::unique_ptr<StreamRelay> relay_;
};

}  // namespace groundwire
