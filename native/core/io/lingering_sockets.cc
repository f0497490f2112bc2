// SPDX-License-Identifier: Apache-2.0
#include "io/lingering_sockets.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace groundwire {

class LingeringSockets::Socket final : public EventHandler, public Discardable {
 public:
  Socket(LingeringSockets* all, UniqueFd fd, std::vector<uint8_t> unsent, uint32_t pod)
      : all_(all), loop_(all->loop_), pod_(pod), fd_(std::move(fd)), unsent_(std::move(unsent)) {}
  ~Socket() override { Close(); }

  bool Start() {
    loop_->Unwatch(fd_.get());
    deadline_ = loop_->After(kMaxMs, [this] { all_->Remove(this, true); });
    return loop_->Watch(fd_.get(), this).ok();
  }
  void OnEvents(uint32_t) override {
    if (!fd_.valid()) return;
    if (!Send() || !Discard()) return all_->Remove(this, false);
    if (discarded_ > kDiscardedMax) all_->Remove(this, true);
  }
  void Close() {
    loop_->Cancel(&deadline_);
    fd_.Reset();
  }
  uint32_t pod() const { return pod_; }

 private:
  /// false: nothing can leave any more.
  bool Send() {
    while (sent_ < unsent_.size()) {
      const ssize_t count =
          send(fd_.get(), unsent_.data() + sent_, unsent_.size() - sent_, MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN;
      sent_ += static_cast<size_t>(count);
    }
    return std::exchange(said_end_, true) || shutdown(fd_.get(), SHUT_WR) == 0;
  }
  /// false: there is nothing left to wait for.
  bool Discard() {
    while (!peer_ended_ && discarded_ <= kDiscardedMax) {
      // With MSG_TRUNC the kernel throws it away itself.
      const ssize_t count = recv(fd_.get(), nullptr, size_t{1} << 20, MSG_TRUNC | MSG_DONTWAIT);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN;
      peer_ended_ = count == 0;
      discarded_ += static_cast<size_t>(count);
    }
    // A peer that has ended may still read.
    return !peer_ended_ || !said_end_;
  }

  LingeringSockets* const all_;
  EventLoop* const loop_;
  const uint32_t pod_;
  UniqueFd fd_;
  const std::vector<uint8_t> unsent_;
  size_t sent_ = 0;
  size_t discarded_ = 0;
  bool said_end_ = false;
  bool peer_ended_ = false;
  EventLoop::TimerId deadline_{};
};

LingeringSockets::LingeringSockets(EventLoop* loop, Counters* counters,
                                   std::function<void(uint32_t pod)> on_gone)
    : loop_(loop), counters_(counters), on_gone_(std::move(on_gone)) {}

LingeringSockets::~LingeringSockets() = default;

void LingeringSockets::Take(UniqueFd fd, std::vector<uint8_t> unsent, uint32_t pod) {
  auto socket = std::make_unique<Socket>(this, std::move(fd), std::move(unsent), pod);
  // One that cannot be watched is closed at once.
  if (socket->Start()) of_pod_[pod].push_back(std::move(socket));
}

void LingeringSockets::EndPod(uint32_t pod) {
  auto node = of_pod_.extract(pod);
  if (node.empty()) return;
  counters_->Add(Counter::kTunnelsLingerCut, node.mapped().size());
  for (auto& socket : node.mapped()) {
    socket->Close();
    loop_->Discard(std::move(socket));
  }
}

void LingeringSockets::Remove(Socket* socket, bool cut) {
  if (cut) counters_->Add(Counter::kTunnelsLingerCut);
  socket->Close();
  const uint32_t pod = socket->pod();
  const auto found = of_pod_.find(pod);
  const auto owned = std::ranges::find_if(
      found->second, [socket](const auto& one) { return one.get() == socket; });
  loop_->Discard(std::move(*owned));
  found->second.erase(owned);
  if (!found->second.empty()) return;
  of_pod_.erase(found);
  loop_->Defer([this, pod] { on_gone_(pod); });
}

}  // namespace groundwire
