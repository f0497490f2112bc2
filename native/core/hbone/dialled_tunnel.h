// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "base/clock.h"
#include "hbone/tunnel_pool.h"

namespace groundwire {

/// One dialled tunnel and those who wait for it.
class TunnelPool::Tunnel final : public Http2SessionOwner, public Discardable {
 public:
  Tunnel(TunnelPool* pool, std::shared_ptr<const Pod> pod, const TunnelKey& key);

  Status Start(UniqueFd fd, std::shared_ptr<const TlsIdentity> identity);

  void OnEstablished(Http2Session*) override;
  void OnRequest(Http2Session*, Http2Stream*, HeaderList) override {}
  void OnCapacity(Http2Session*) override;
  void OnSessionClosed(Http2Session*, ErrorCode code, const std::string& detail) override;

  /// Usable for one more stream, now or once it is established.
  bool Usable(uint64_t generation) const {
    return session_->state() != Http2Session::State::kClosed && !session_->draining() &&
           load() < session_->streams_max() && IsFresh(generation);
  }
  /// Made with the certificate `generation`, and the proof has not used up half of its time.
  bool IsFresh(uint64_t generation) const {
    return generation == generation_ && (!established() || WallMs() < lease_.fresh_until_ms());
  }
  /// The peer takes no streams at the moment; whoever wants one may wait here.
  bool Paused(uint64_t generation) const {
    return established() && !session_->draining() && session_->streams_max() == 0 &&
           IsFresh(generation);
  }
  bool HasRoom() const { return session_->streams() < session_->streams_max(); }
  size_t load() const { return session_->streams() + waiting_.size(); }
  bool established() const { return session_->state() == Http2Session::State::kOpen; }
  void Wait(TunnelUser* user, uint64_t since_us);
  bool Forget(TunnelUser* user) {
    return std::erase_if(waiting_, [user](const Waiting& w) { return w.user == user; }) > 0;
  }

  msg::Tunnel Describe() const;
  Http2Session* session() const { return session_.get(); }
  const TunnelKey& key() const { return key_; }
  const std::shared_ptr<const Pod>& pod() const { return pod_; }
  const TunnelLease& lease() const { return lease_; }

 private:
  struct Waiting {
    TunnelUser* user;
    uint64_t since_us;
  };

  void StartIdle();
  /// Each waits as long as for a connect, on however many tunnels.
  void BoundWait();
  void FailOverdue();
  uint64_t EndOfWaitUs(const Waiting& waiting) const;
  void OnLeaseEnd();
  /// Those who wait for room that will not come here look for another tunnel.
  void HandOver();

  TunnelPool* const pool_;
  const std::shared_ptr<const Pod> pod_;
  const TunnelKey key_;
  std::unique_ptr<Http2Session> session_;
  SecuredStream* secured_ = nullptr;  // the session has it
  TunnelLease lease_;
  uint64_t generation_ = 0;
  uint64_t established_ms_ = 0;
  std::deque<Waiting> waiting_;  // the longest first
  EventLoop::TimerId idle_{};
  EventLoop::TimerId wait_bound_{};
};

}  // namespace groundwire
