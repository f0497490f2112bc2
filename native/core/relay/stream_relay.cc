// SPDX-License-Identifier: Apache-2.0
#include <sys/epoll.h>

#include <cstdint>
#include <utility>

#include "relay/relay.h"

namespace groundwire {

void StreamRelay::Start(UniqueFd app, Http2Session* session, Http2Stream* stream) {
  over_ = false;
  app_ = AppSocket(std::move(app));
  session_ = session;
  stream_ = stream;
  session_->SetHandler(stream_, this);
  if (!loop_->Watch(app_.fd(), this).ok()) {
    CutTunnel();
    return CutApplication(ErrorCode::kOutOfFiles);
  }
  session_->Resume(stream_);
}

void StreamRelay::OnEvents(uint32_t events) {
  if (over_) return;
  app_.NoteEvents(events);
  if ((events & EPOLLOUT) != 0 && app_.kept() > 0) {
    size_t sent = 0;
    (void)app_.SendKept(&sent);
    if (stream_ != nullptr) session_->Consume(stream_, sent);
  }
  if (stream_ != nullptr && app_.readable()) session_->Resume(stream_);
  FinishIfDone();
}

size_t StreamRelay::ReadForStream(uint8_t* buffer, size_t size, bool* end) {
  if (over_) return 0;
  const AppSocket::Result result = app_.Receive(buffer, &size);
  if (result == AppSocket::Result::kOk) {
    app_is_source_ ? CountSent(size) : CountReceived(size);
    return size;
  }
  if (result == AppSocket::Result::kEnd) {
    *end = true;
    end_sent_ = true;
    // The stream may be over with this frame; the end of the connection is then noticed in
    // OnStreamClosed.
  }
  // All that came before is in frames by now, ahead of the RST_STREAM.
  if (result == AppSocket::Result::kReset) CarryReset();
  return 0;
}

void StreamRelay::OnStreamData(const uint8_t* data, size_t size) {
  if (over_) return;
  app_is_source_ ? CountReceived(size) : CountSent(size);
  size_t sent = 0;
  const AppSocket::Result result = app_.Send(data, size, &sent);
  session_->Consume(stream_, sent);
  if (result == AppSocket::Result::kReset) CarryReset();
}

void StreamRelay::OnStreamEnd() {
  if (over_) return;
  tunnel_ended_ = true;
  app_.FinishSending();
}

void StreamRelay::OnStreamClosed(uint32_t h2_error, ErrorCode lost) {
  stream_ = nullptr;
  if (over_) return;
  if (lost != ErrorCode::kNone) detail_ = session_->close_detail();
  if (IsEndedHere(lost)) return CutApplication(lost);
  // NO_ERROR before the end: the peer wants no more of our bytes and has said all of its own (RFC
  // 9113 8.1).
  if (lost != ErrorCode::kNone || h2_error != 0) {
    tunnel_broke_ = lost != ErrorCode::kNone ? lost : ErrorCode::kPeerReset;
    return FinishIfDone();
  }
  if (!tunnel_ended_) OnStreamEnd();
  end_sent_ = true;
  FinishIfDone();
}

void StreamRelay::CountSent(size_t size) {
  bytes_->sent += size;
  request_timer_.Request(&loop_->look_on(), loop_->now_us(), size);
}

void StreamRelay::CountReceived(size_t size) {
  bytes_->received += size;
  request_timer_.Answer(&loop_->look_on(), loop_->now_us());
}

void StreamRelay::FinishIfDone() {
  if (end_sent_ && app_.finished_sending() && stream_ == nullptr) {
    app_.Close();
    return Finish(ErrorCode::kNone);
  }
  if (tunnel_broke_ || app_.broken()) CarryReset();
}

/// One side is gone: the other is reset too, once it has what came before.
void StreamRelay::CarryReset() {
  const bool carried =
      app_.broken() ? stream_ == nullptr || app_.drained() : app_.kept() == 0 && app_.AllTaken();
  if (!carried && !reset_wait_.over()) {
    // What the application had said goes on through the tunnel as far as its windows let it.
    if (stream_ != nullptr) session_->Resume(stream_);
    return reset_wait_.LookAgain([this] { CarryReset(); });
  }
  if (!carried) loop_->counters()->Add(Counter::kResetsCutShort);
  CutTunnel();
  CutApplication(tunnel_broke_.value_or(ErrorCode::kPeerReset));
}

void StreamRelay::CutTunnel() {
  // CONNECT_ERROR: the TCP connection behind the stream was reset (RFC 9113 8.5).
  if (stream_ != nullptr) session_->Reset(std::exchange(stream_, nullptr), NGHTTP2_CONNECT_ERROR);
}

void StreamRelay::CutApplication(ErrorCode code) {
  app_.CloseWithReset();
  Finish(code);
}

void StreamRelay::Abort() {
  over_ = true;
  reset_wait_.Stop();
  CutTunnel();
  app_.CloseWithReset();
}

void StreamRelay::Finish(ErrorCode code) {
  if (over_) return;
  over_ = true;
  reset_wait_.Stop();
  owner_->OnRelayEnd(code, detail_);
}

}  // namespace groundwire
