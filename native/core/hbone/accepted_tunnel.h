// SPDX-License-Identifier: Apache-2.0
// The tunnels that peers open to captured pods: steps 1 and 2 of inbound_hbone.h.
#pragma once
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/counters.h"
#include "base/error_code.gen.h"
#include "capture/pod.h"
#include "hbone/hbone_request.h"
#include "hbone/tunnel_context.h"
#include "http2/http2_session.h"
#include "port/messages.gen.h"
#include "tls/tunnel_lease.h"

namespace groundwire {

class AcceptedTunnels;
class SecuredStream;
struct TlsIdentity;

/// One accepted tunnel, for as long as its peer's identity is proven.
class AcceptedTunnel final : public Http2SessionOwner, public Discardable {
 public:
  AcceptedTunnel(const TunnelContext& context, AcceptedTunnels* tunnels,
                 std::shared_ptr<const Pod> pod, const SocketAddress& source);
  ~AcceptedTunnel() override;
  Status Start(UniqueFd fd, std::shared_ptr<const TlsIdentity> identity);

  void OnEstablished(Http2Session* session) override;
  void OnRequest(Http2Session* session, Http2Stream* stream, HeaderList headers) override;
  void OnMalformedRequest(Http2Session*, const HeaderList& headers, const char* detail) override;
  void OnCapacity(Http2Session*) override;
  void OnSessionClosed(Http2Session* session, ErrorCode code, const std::string& detail) override;

  Http2Session* session() const { return session_.get(); }
  const std::shared_ptr<const Pod>& pod() const { return pod_; }
  const SocketAddress& source() const { return source_; }
  const SocketAddress& local() const { return local_; }
  bool established() const { return established_ms_ != 0; }
  uint64_t started_us() const { return started_us_; }
  /// Proven once it is established.
  const std::string& peer() const;
  msg::Tunnel Describe() const;

 private:
  const TunnelContext& context_;
  AcceptedTunnels* const tunnels_;
  const std::shared_ptr<const Pod> pod_;
  const SocketAddress source_;
  const uint64_t started_us_;
  SocketAddress local_;
  std::unique_ptr<Http2Session> session_;
  SecuredStream* secured_ = nullptr;  // the session has it
  TunnelLease lease_;
  uint64_t established_ms_ = 0;
  EventLoop::TimerId idle_{};
};

/// Who answers the requests of accepted tunnels, and tells of what never became one.
class AcceptedTunnelUser {
 public:
  /// Answers the stream with Respond or Refuse of the tunnel's session, now or later.
  virtual void OnRequest(const AcceptedTunnel& tunnel, Http2Stream* stream,
                         const HboneRequest& request) = 0;
  /// A tunnel that was refused or failed before a request, or a request that HTTP/2 does not allow
  /// (`request`, as far as it was read; nullptr: there was none).
  virtual void OnRefusal(const AcceptedTunnel& tunnel, ErrorCode code, const std::string& detail,
                         const HboneRequest* request) = 0;

 protected:
  ~AcceptedTunnelUser() = default;
};

/// The accepted tunnels of a worker.
class AcceptedTunnels {
 public:
  AcceptedTunnels(const TunnelContext& context, AcceptedTunnelUser* user)
      : context_(context), user_(user) {}
  /// Step 1. Takes the accepted socket; `refusal`: what is known against it already.
  void Accept(const std::shared_ptr<const Pod>& pod, UniqueFd fd, const SocketAddress& source,
              ErrorCode refusal);
  /// The tunnel's handshake is over, well or not.
  void EndHandshake(AcceptedTunnel* tunnel);
  void Remove(AcceptedTunnel* tunnel);
  void DrainPod(uint32_t pod);
  void ClosePod(uint32_t pod, ErrorCode code);
  void CloseIdentity(const std::string& identity, ErrorCode code);
  void DrainAll();
  void CloseAll(ErrorCode code);
  AcceptedTunnelUser* user() const { return user_; }
  void AppendSnapshot(std::vector<msg::Tunnel>* tunnels) const;

 private:
  /// For one more handshake of that peer. Otherwise, by what it is counted that there is none.
  std::optional<Counter> MakeRoom(uint32_t pod, const IpAddress& peer);
  bool DisplaceIfLate(AcceptedTunnel* handshake);
  template <typename Predicate, typename Action>
  void ForEach(Predicate predicate, Action action);

  const TunnelContext context_;
  AcceptedTunnelUser* const user_;
  std::list<std::unique_ptr<AcceptedTunnel>> tunnels_;
  /// How many of them, by the peer's address; no entry is 0.
  std::unordered_map<IpAddress, size_t, IpAddressHash> of_peer_;
  /// By pod, the oldest first; no entry is empty.
  std::unordered_map<uint32_t, std::deque<AcceptedTunnel*>> handshaking_;
  size_t handshaking_count_ = 0;  // of all pods
};

}  // namespace groundwire
