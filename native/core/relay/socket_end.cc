// SPDX-License-Identifier: Apache-2.0
#include "relay/socket_end.h"

#include <cstdint>

#include "relay/relay.h"

namespace groundwire {
namespace {

// What one connection may carry each way before the others get their turn.
constexpr size_t kTurnBytes = 1 << 20;

}  // namespace

bool SocketEnd::Start(Relay* relay) {
  relay_ = relay;
  return thread_.loop->Watch(socket_.fd(), this).ok();
}

void SocketEnd::OnEvents(uint32_t events) {
  socket_.NoteEvents(events);
  relay_->Turn();
}

bool SocketEnd::Ask() {
  size_t sent = 0;
  Result result = socket_.SendKept(&sent);
  if (sent > 0) relay_->OnSent(this, sent);
  uint8_t* const buffer = thread_.scratch->arriving.get();
  // What may have to be kept of it, where the pod's part gets short.
  const size_t at_once = account_->Window(ThreadScratch::kBytes);
  for (size_t carried = 0; result == Result::kOk && !socket_.finished_sending();) {
    if (carried >= kTurnBytes) return false;
    bool end = false;
    const size_t size = relay_->Fill(this, buffer, at_once, &end);
    if (end) socket_.FinishSending();
    if (size == 0) return true;
    carried += size;
    result = socket_.Send(buffer, size, &sent);
  }
  if (result == Result::kFull) relay_->Cut(ErrorCode::kLimitMemory, "");
  return true;
}

}  // namespace groundwire
