// SPDX-License-Identifier: Apache-2.0
#include "support/relay_party.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "io/socket_options.h"
#include "relay/socket_end.h"
#include "relay/stream_end.h"
#include "support/loopback.h"
#include "support/plain_stream.h"

namespace groundwire {
namespace {

class SocketParty final : public RelayParty {
 public:
  explicit SocketParty(const ThreadContext& thread) : thread_(thread) {
    EnterPrivateNetwork();
    const UniqueFd listener = ListenOn("10.202.5.3");
    const int small = 64 * 1024;
    (void)setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    application_ = ConnectTo(At("10.202.5.3", PortOf(listener.get())));
    engine_ = AcceptOne(listener);
    for (const UniqueFd* fd : {&application_, &engine_}) {
      if (!fd->valid()) std::abort();
      (void)fcntl(fd->get(), F_SETFL, O_NONBLOCK);
      (void)setsockopt(fd->get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
      (void)setsockopt(fd->get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
  }
  std::unique_ptr<RelayEnd> TakeEnd() override {
    return std::make_unique<SocketEnd>(thread_, thread_.kept->AccountOf(1), std::move(engine_));
  }
  void Reset() override { CloseWithReset(&application_); }
  void Turn() override {
    if (!application_.valid()) return;
    while (!to_say_.empty()) {
      const ssize_t count = send(application_.get(), to_say_.data(),
                                 std::min<size_t>(to_say_.size(), 65536), MSG_NOSIGNAL);
      if (count <= 0) break;
      to_say_.erase(0, static_cast<size_t>(count));
    }
    if (finish_ && to_say_.empty() && !std::exchange(finished_, true))
      (void)shutdown(application_.get(), SHUT_WR);
    std::string buffer(65536, '\0');
    while (!deaf && !ended_) {
      const ssize_t count = recv(application_.get(), buffer.data(), buffer.size(), 0);
      if (count < 0 && errno == EAGAIN) return;
      ended_ = count <= 0;
      heard += count == 0  ? "[end]"
               : count < 0 ? "[reset]"
                           : buffer.substr(0, static_cast<size_t>(count));
    }
    // After an end of stream a reset may still come.
    int error = 0;
    socklen_t length = sizeof error;
    if (ended_ && getsockopt(application_.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 &&
        error != 0) {
      heard += "[reset]";
    }
  }

 private:
  const ThreadContext& thread_;
  UniqueFd application_;
  UniqueFd engine_;
  bool finished_ = false;
  bool ended_ = false;
};

constexpr std::array<HeaderView, 2> kConnect = {{{":method", "CONNECT"}, {":authority", "a:1"}}};
constexpr std::array<HeaderView, 1> kOk = {{{":status", "200"}}};

/// Two sessions over a pair of sockets, one stream between them.
class StreamParty final : public RelayParty, public Http2SessionOwner, public Http2StreamHandler {
 public:
  StreamParty(const ThreadContext& thread, Http2Session::Role engine)
      : loop_(thread.loop), account_(thread.kept->AccountOf(1)) {
    int ends[2] = {};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
    engine_ = Open(thread, engine, ends[0]);
    far_ = Open(thread, engine == kClient ? kServer : kClient, ends[1]);
    Http2Session* const client = engine == kClient ? engine_.get() : far_.get();
    TurnUntil([&] { return client->state() == Http2Session::State::kOpen; });
    Http2Stream* const connected = client->Request(kConnect, true, this);
    (engine == kClient ? engine_stream_ : far_stream_) = connected;
    TurnUntil([&] { return engine_stream_ != nullptr && far_stream_ != nullptr && answered_; });
  }
  ~StreamParty() override {
    for (auto* session : {&engine_, &far_}) {
      (*session)->Close(ErrorCode::kDrained, "the test is over");
      loop_->Discard(std::move(*session));
    }
    for (int i = 0; i < 3; ++i) loop_->RunTurn(0);
  }
  std::unique_ptr<RelayEnd> TakeEnd() override {
    return std::make_unique<StreamEnd>(engine_.get(), engine_stream_, account_);
  }
  void Reset() override {
    if (far_stream_ == nullptr) return;
    far_->Reset(std::exchange(far_stream_, nullptr), NGHTTP2_CONNECT_ERROR);
  }
  void Turn() override {
    if (far_stream_ == nullptr) return;
    if (!deaf) far_->Consume(far_stream_, std::exchange(unconsumed_, 0));
    if (!to_say_.empty() || finish_) far_->Resume(far_stream_);
  }

  void OnEstablished(Http2Session*) override {}
  void OnRequest(Http2Session* session, Http2Stream* stream, HeaderList) override {
    (session == engine_.get() ? engine_stream_ : far_stream_) = stream;
    session->Respond(stream, kOk, true, this);
  }
  void OnCapacity(Http2Session*) override {}
  void OnSessionClosed(Http2Session*, ErrorCode, const std::string&) override {}

  size_t ReadForStream(uint8_t* buffer, size_t size, bool* end) override {
    const size_t count = std::min(size, to_say_.size());
    std::copy_n(to_say_.begin(), count, buffer);
    to_say_.erase(0, count);
    *end = count == 0 && finish_;
    return count;
  }
  void OnResponse(uint16_t, const HeaderList&) override { answered_ = true; }
  void OnStreamData(const uint8_t* data, size_t size) override {
    heard.append(reinterpret_cast<const char*>(data), size);
    unconsumed_ += size;
  }
  void OnStreamEnd() override { heard += "[end]"; }
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override {
    far_stream_ = nullptr;
    if (h2_error != 0 || lost != ErrorCode::kNone) heard += "[reset]";
  }

 private:
  static constexpr auto kClient = Http2Session::Role::kClient;
  static constexpr auto kServer = Http2Session::Role::kServer;

  std::unique_ptr<Http2Session> Open(const ThreadContext& thread, Http2Session::Role role, int fd) {
    auto session = std::make_unique<Http2Session>(
        role, std::make_unique<PlainStream>(UniqueFd(fd), thread.loop), options_, thread.loop,
        thread.scratch, thread.counters, this);
    if (!session->Start().ok()) std::abort();
    return session;
  }
  void TurnUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 100 && !done(); ++i) loop_->RunTurn(1);
    if (!done()) std::abort();
  }

  EventLoop* const loop_;
  KeptAccount* const account_;
  Http2Options options_;
  std::unique_ptr<Http2Session> engine_;
  std::unique_ptr<Http2Session> far_;
  Http2Stream* engine_stream_ = nullptr;
  Http2Stream* far_stream_ = nullptr;
  size_t unconsumed_ = 0;
  bool answered_ = false;
};

}  // namespace

std::unique_ptr<RelayParty> MakeSocketParty(const ThreadContext& thread) {
  return std::make_unique<SocketParty>(thread);
}

std::unique_ptr<RelayParty> MakeStreamParty(const ThreadContext& thread,
                                            Http2Session::Role engine) {
  return std::make_unique<StreamParty>(thread, engine);
}

}  // namespace groundwire
