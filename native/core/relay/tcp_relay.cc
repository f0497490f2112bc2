// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <utility>

#include "relay/relay.h"

namespace groundwire {
namespace {

// What one connection may carry each way before the others get their turn.
constexpr size_t kTurnBytes = 1 << 20;

}  // namespace

void TcpRelay::End::OnEvents(uint32_t events) {
  if (relay->over_) return;
  socket.NoteEvents(events);
  relay->Turn();
}

void TcpRelay::Start(UniqueFd source, UniqueFd destination) {
  over_ = false;
  source_.relay = this;
  source_.socket = AppSocket(std::move(source));
  destination_.relay = this;
  destination_.socket = AppSocket(std::move(destination));
  if (!loop_->Watch(source_.socket.fd(), &source_).ok() ||
      !loop_->Watch(destination_.socket.fd(), &destination_).ok()) {
    Finish(ErrorCode::kOutOfFiles);
  }
}

void TcpRelay::Turn() {
  if (over_) return;
  size_t there = kTurnBytes;
  size_t back = kTurnBytes;
  Carry(&source_, &destination_, &there);
  Carry(&destination_, &source_, &back);
  if (source_.socket.finished_sending() && destination_.socket.finished_sending())
    return Finish(ErrorCode::kNone);
  if (source_.socket.broken() || destination_.socket.broken()) CarryReset();
  if (over_ || (there > 0 && back > 0) || turn_scheduled_) return;
  turn_scheduled_ = true;
  loop_->Defer([this] {
    turn_scheduled_ = false;
    Turn();
  });
}

void TcpRelay::Carry(End* from, End* to, size_t* budget) {
  size_t sent = 0;
  AppSocket::Result result = to->socket.SendKept(&sent);
  while (result == AppSocket::Result::kOk && *budget > 0) {
    if (to->socket.finished_sending()) return;
    size_t size = ThreadScratch::kBytes;
    result = from->socket.Receive(scratch_->arriving.get(), &size);
    if (result == AppSocket::Result::kEnd) to->socket.FinishSending();
    if (result != AppSocket::Result::kOk) return;
    if (from == &source_) {
      bytes_->sent += size;
      request_timer_.Request(&loop_->look_on(), loop_->now_us(), size);
    } else {
      bytes_->received += size;
      request_timer_.Answer(&loop_->look_on(), loop_->now_us());
    }
    *budget -= std::min(*budget, size);
    result = to->socket.Send(scratch_->arriving.get(), size, &sent);
  }
}

/// One end is gone: the other is reset too, once it has what came before.
void TcpRelay::CarryReset() {
  AppSocket& gone = source_.socket.broken() ? source_.socket : destination_.socket;
  AppSocket& left = source_.socket.broken() ? destination_.socket : source_.socket;
  const bool carried = left.broken() || (gone.drained() && left.kept() == 0 && left.AllTaken());
  if (!carried && !reset_wait_.over()) return reset_wait_.LookAgain([this] { Turn(); });
  if (!carried) loop_->counters()->Add(Counter::kResetsCutShort);
  Finish(ErrorCode::kPeerReset);
}

void TcpRelay::Abort() {
  over_ = true;
  reset_wait_.Stop();
  source_.socket.CloseWithReset();
  destination_.socket.CloseWithReset();
}

void TcpRelay::Finish(ErrorCode code) {
  if (over_) return;
  if (code == ErrorCode::kNone) {
    over_ = true;
    reset_wait_.Stop();
    source_.socket.Close();
    destination_.socket.Close();
  } else {
    Abort();
  }
  owner_->OnRelayEnd(code, "");
}

}  // namespace groundwire
