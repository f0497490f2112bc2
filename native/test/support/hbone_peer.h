// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "http2/http2_session.h"
#include "support/agent.h"
#include "support/loopback.h"
#include "tls/secured_stream.h"

namespace groundwire {

/// Takes tunnels as its options say, and answers no CONNECT.
class HbonePeer final : public Http2SessionOwner, public EventHandler {
 public:
  HbonePeer(std::shared_ptr<const TlsIdentity> identity, const Http2Options& options)
      : identity_(std::move(identity)), options_(options), listener_(ListenOn("10.202.0.98")) {
    if (!loop_.Open().ok() || !loop_.WatchListener(listener_.get(), this).ok()) std::abort();
    thread_ = std::thread([this] { loop_.Run(); });
  }
  ~HbonePeer() {
    loop_.Stop();
    thread_.join();
  }
  SocketAddress address() const { return At("10.202.0.98", PortOf(listener_.get())); }

 private:
  void OnEvents(uint32_t) override {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) return;
    const std::array<std::string_view, 1> protocols = {kAlpnHttp2};
    auto stream = AcceptSecuredStream(std::move(fd), identity_, kTrustDomain,
                                      {.protocols = protocols}, &loop_, &scratch_);
    sessions_.push_back(std::make_unique<Http2Session>(Http2Session::Role::kServer,
                                                       std::move(stream), options_, &loop_,
                                                       &scratch_, &counters_, this));
    if (!sessions_.back()->Start().ok()) std::abort();
  }
  void OnEstablished(Http2Session*) override {}
  void OnRequest(Http2Session*, Http2Stream*, HeaderList) override {}
  void OnCapacity(Http2Session*) override {}
  void OnSessionClosed(Http2Session* session, ErrorCode, const std::string&) override {
    const auto ended = std::find_if(sessions_.begin(), sessions_.end(),
                                    [session](const auto& one) { return one.get() == session; });
    loop_.Discard(std::move(*ended));
    sessions_.erase(ended);
  }

  const std::shared_ptr<const TlsIdentity> identity_;
  const Http2Options options_;
  const UniqueFd listener_;
  ThreadScratch scratch_;
  Counters counters_;
  EventLoop loop_{&counters_};
  std::list<std::unique_ptr<Http2Session>> sessions_;
  std::thread thread_;
};

}  // namespace groundwire
