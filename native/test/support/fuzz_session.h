// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "hbone/hbone_session.h"
#include "support/plain_stream.h"

namespace groundwire {

/// A session whose peer is the fuzzer. Its user answers every request, echoes what it gets and
/// gives windows back.
class FuzzSession final : public HboneSessionOwner, public HboneStreamHandler {
 public:
  FuzzSession(HboneSession::Role role, const std::string& greeting) {
    int ends[2] = {};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0 || !loop_.Open().ok())
      std::abort();
    peer_.Reset(ends[1]);
    session_ = std::make_unique<HboneSession>(role, UniqueFd(ends[0]),
                                              std::make_unique<PlainStream>(ends[0]), options_,
                                              &loop_, &scratch_, &counters_, this);
    if (!session_->Start().ok()) std::abort();
    loop_.RunTurn(0);
    (void)!send(peer_.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
    if (role == HboneSession::Role::kClient) {
      stream_ = session_->Connect({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, this);
    }
  }
  void Feed(std::span<const uint8_t> bytes) {
    (void)!send(peer_.get(), bytes.data(), std::min<size_t>(bytes.size(), 65536), MSG_NOSIGNAL);
    for (int i = 0; i < 4; ++i) loop_.RunTurn(0);
    peer_.Reset();
    for (int i = 0; i < 4; ++i) loop_.RunTurn(0);
    if (session_->state() != HboneSession::State::kClosed) std::abort();
  }

  void OnEstablished(HboneSession*) override {}
  void OnRequest(HboneSession*, HboneStream* stream, HboneRequest request) override {
    if (request.method != "CONNECT") return session_->Refuse(stream, 400);
    if (stream_ != nullptr) return session_->Refuse(stream, 503);
    stream_ = stream;
    session_->Respond(stream, {{":status", "200"}}, this);
  }
  void OnCapacity(HboneSession*) override {}
  void OnSessionClosed(HboneSession*, ErrorCode, const std::string&) override {}
  size_t ReadForTunnel(uint8_t* buffer, size_t size, bool* end) override {
    const size_t count = std::min(size, echo_.size());
    std::copy_n(echo_.begin(), count, buffer);
    echo_.erase(0, count);
    *end = count == 0 && ended_;
    return count;
  }
  void OnResponse(uint16_t) override {}
  void OnTunnelData(const uint8_t* data, size_t size) override {
    echo_.append(reinterpret_cast<const char*>(data), size);
    session_->Consume(stream_, size);
    session_->Resume(stream_);
  }
  void OnTunnelEnd() override { ended_ = true; }
  void OnStreamClosed(uint32_t, ErrorCode) override { stream_ = nullptr; }

 private:
  const HboneOptions options_;
  Counters counters_;
  EventLoop loop_{&counters_};
  ThreadScratch scratch_;
  UniqueFd peer_;
  std::unique_ptr<HboneSession> session_;
  HboneStream* stream_ = nullptr;
  std::string echo_;
  bool ended_ = false;
};

}  // namespace groundwire
