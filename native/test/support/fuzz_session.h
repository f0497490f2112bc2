// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "hbone/tunnel_context.h"
#include "http2/http2_session.h"
#include "support/options.h"
#include "support/plain_stream.h"

namespace groundwire {

/// A session whose peer is the fuzzer. Its user answers every request, echoes what it gets and
/// gives windows back.
class FuzzSession final : public Http2SessionOwner, public Http2StreamHandler {
 public:
  FuzzSession(Http2Session::Role role, const std::string& greeting) {
    int ends[2] = {};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0 || !loop_.Open().ok())
      std::abort();
    peer_.Reset(ends[1]);
    session_ = std::make_unique<Http2Session>(
        role, std::make_unique<PlainStream>(UniqueFd(ends[0]), &loop_), options_, &loop_, &scratch_,
        &counters_, this);
    if (!session_->Start().ok()) std::abort();
    loop_.RunTurn(0);
    (void)!send(peer_.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
    if (role == Http2Session::Role::kClient) {
      const std::array<HeaderView, 2> headers = {
          {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}};
      stream_ = session_->Request(headers, true, this);
    }
  }
  void Feed(std::span<const uint8_t> bytes) {
    (void)!send(peer_.get(), bytes.data(), std::min<size_t>(bytes.size(), 65536), MSG_NOSIGNAL);
    for (int i = 0; i < 4; ++i) loop_.RunTurn(0);
    peer_.Reset();
    for (int i = 0; i < 4; ++i) loop_.RunTurn(0);
    if (session_->state() != Http2Session::State::kClosed) std::abort();
  }

  void OnEstablished(Http2Session*) override {}
  void OnRequest(Http2Session*, Http2Stream* stream, HeaderList headers) override {
    if (headers.Find(":method") != "CONNECT") return session_->Refuse(stream, 400);
    if (stream_ != nullptr) return session_->Refuse(stream, 503);
    stream_ = stream;
    const std::array<HeaderView, 1> response = {{{":status", "200"}}};
    session_->Respond(stream, response, true, this);
  }
  void OnCapacity(Http2Session*) override {}
  void OnSessionClosed(Http2Session*, ErrorCode, const std::string&) override {}
  size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) override {
    const size_t count = std::min(size, echo_.size());
    std::copy_n(echo_.begin(), count, buffer);
    echo_.erase(0, count);
    *end = count == 0 && ended_;
    return count;
  }
  void OnResponse(uint16_t, const HeaderList&) override {}
  void OnStreamData(const uint8_t* data, size_t size) override {
    echo_.append(reinterpret_cast<const char*>(data), size);
    session_->Consume(stream_, size);
    session_->Resume(stream_);
  }
  void OnStreamEnd() override { ended_ = true; }
  void OnStreamClosed(uint32_t, ErrorCode) override { stream_ = nullptr; }

 private:
  const Http2Options options_ = MakeTunnelOptions(TestOptions());
  Counters counters_;
  EventLoop loop_{&counters_};
  ThreadScratch scratch_;
  UniqueFd peer_;
  std::unique_ptr<Http2Session> session_;
  Http2Stream* stream_ = nullptr;
  std::string echo_;
  bool ended_ = false;
};

}  // namespace groundwire
