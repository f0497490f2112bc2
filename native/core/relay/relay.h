// SPDX-License-Identifier: Apache-2.0
// Carrying a connection's bytes between any two ends.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/error_code.gen.h"
#include "io/event_loop.h"
#include "io/reset_wait.h"
#include "relay/relay_end.h"

namespace groundwire {

/// Bytes carried, counted when taken from an end. sent: from the connection's source to its
/// destination.
struct RelayBytes {
  uint64_t sent = 0;
  uint64_t received = 0;
};

class RelayOwner {
 public:
  /// Both directions are over, or one end was reset and the other has been. Called once; both ends
  /// are over. `detail` says why a tunnel was lost, otherwise it is "".
  virtual void OnRelayEnd(ErrorCode code, const std::string& detail) = 0;

 protected:
  ~RelayOwner() = default;
};

/// An end of stream of one end becomes one of the other after the last byte, and so does a reset
/// become a reset (ResetWait says how long that may take); while one end does not take bytes the
/// other is not read, or its peer gets no window.
class Relay final {
 public:
  Relay(EventLoop* loop, RelayBytes* bytes, RelayOwner* owner)
      : loop_(loop), bytes_(bytes), owner_(owner), reset_wait_(loop) {}
  /// Called once. The owner may be told from within that it is over.
  void Start(std::unique_ptr<RelayEnd> source, std::unique_ptr<RelayEnd> destination);
  /// Cuts both ends with a reset; the owner is not called.
  void Abort();

  // What the ends tell.
  /// Something may have come, or gone.
  void Turn();
  /// These bytes came. Valid during the call.
  void Take(RelayEnd* from, const uint8_t* data, size_t size);
  void TakeEnd(const RelayEnd* from);
  /// Up to `size` bytes to send. 0 and not `*end`: nothing now, Ask comes later.
  size_t Fill(const RelayEnd* to, uint8_t* buffer, size_t size, bool* end);
  /// So much of what was kept has left.
  void OnSent(const RelayEnd* to, size_t size) { OtherOf(to)->Consume(size); }
  /// Why the end that is broken is so, where that is known.
  void NoteLoss(ErrorCode code, const std::string& detail);
  /// An end may be over, or broken.
  void Settle();
  /// Ends both at once; nothing waits for anything.
  void Cut(ErrorCode code, const std::string& detail);

 private:
  struct Loss {
    ErrorCode code;
    std::string detail;
  };

  RelayEnd* OtherOf(const RelayEnd* end) const {
    return end == source_.get() ? destination_.get() : source_.get();
  }
  /// False: call again in the next turn.
  bool Carry(const RelayEnd& from, RelayEnd* to);
  void Count(const RelayEnd* from, size_t size);
  void CarryReset();
  void Finish(ErrorCode code);

  EventLoop* const loop_;
  RelayBytes* const bytes_;
  RelayOwner* const owner_;
  std::unique_ptr<RelayEnd> source_;
  std::unique_ptr<RelayEnd> destination_;
  std::unique_ptr<Loss> loss_;
  RequestTimer request_timer_;
  ResetWait reset_wait_;
  bool turn_scheduled_ = false;
  bool over_ = true;
};

}  // namespace groundwire
