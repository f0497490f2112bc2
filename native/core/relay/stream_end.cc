// SPDX-License-Identifier: Apache-2.0
#include "relay/stream_end.h"

#include <utility>

#include "relay/relay.h"

namespace groundwire {

bool StreamEnd::Start(Relay* relay) {
  relay_ = relay;
  session_->SetHandler(stream_, this);
  // What the other end has by now makes no event of its own.
  session_->Resume(stream_);
  return true;
}

void StreamEnd::Consume(size_t size) {
  if (stream_ != nullptr) session_->Consume(stream_, size);
}

bool StreamEnd::Ask() {
  if (stream_ != nullptr) session_->Resume(stream_);
  return true;
}

RelayEnd::Result StreamEnd::Send(const uint8_t* data, size_t size, size_t* sent) {
  *sent = 0;
  if (broken_) return Result::kReset;
  if (stream_ == nullptr) {
    // The peer has said that it wants no more; who sends it need not know.
    *sent = size;
    return Result::kOk;
  }
  if (!kept_.Append(data, size)) return Result::kFull;
  session_->Resume(stream_);
  return Result::kBlocked;
}

void StreamEnd::FinishSending() {
  end_wanted_ = true;
  if (stream_ != nullptr) session_->Resume(stream_);
}

void StreamEnd::Reset() {
  // CONNECT_ERROR: the TCP connection behind the stream was reset (RFC 9113 8.5).
  if (stream_ != nullptr) session_->Reset(std::exchange(stream_, nullptr), NGHTTP2_CONNECT_ERROR);
}

size_t StreamEnd::ReadForStream(uint8_t* buffer, size_t size, bool* end) {
  if (!kept_.empty()) {
    const size_t taken = kept_.Take(buffer, size);
    relay_->OnSent(this, taken);
    return taken;
  }
  const size_t taken = end_wanted_ ? 0 : relay_->Fill(this, buffer, size, &end_wanted_);
  // The stream may be over with this frame; that is then noticed in OnStreamClosed.
  *end = end_sent_ = taken == 0 && end_wanted_;
  return taken;
}

void StreamEnd::OnStreamData(const uint8_t* data, size_t size) { relay_->Take(this, data, size); }

void StreamEnd::OnStreamEnd() {
  peer_ended_ = true;
  relay_->TakeEnd(this);
}

void StreamEnd::OnStreamClosed(uint32_t h2_error, ErrorCode lost) {
  stream_ = nullptr;
  if (IsEndedHere(lost)) return relay_->Cut(lost, session_->close_detail());
  // NO_ERROR before the end: the peer wants no more of our bytes and has said all of its own (RFC
  // 9113 8.1).
  broken_ = lost != ErrorCode::kNone || h2_error != 0;
  if (broken_) {
    kept_.Clear();
    if (lost != ErrorCode::kNone) relay_->NoteLoss(lost, session_->close_detail());
  } else {
    if (!peer_ended_) OnStreamEnd();
    end_sent_ = true;
  }
  relay_->Settle();
}

}  // namespace groundwire
