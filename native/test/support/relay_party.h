// SPDX-License-Identifier: Apache-2.0
// Who is at the far side of a relay's ends: an application behind a socket, or whatever is behind a
// stream of a tunnel. All of it on the loop that the test turns.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "http2/http2_session.h"
#include "io/thread_context.h"
#include "relay/relay_end.h"

namespace groundwire {

class RelayParty {
 public:
  virtual ~RelayParty() = default;
  /// The relay's end. Once.
  virtual std::unique_ptr<RelayEnd> TakeEnd() = 0;
  /// Says it as the other side takes it. After all of what it had to say: an end of stream, or a
  /// reset.
  void Say(const std::string& bytes) { to_say_ += bytes; }
  void FinishSaying() { finish_ = true; }
  virtual void Reset() = 0;
  /// Of what it has to say, how much has not left it.
  size_t unsaid() const { return to_say_.size(); }
  /// What came, and how it ended: "[end]", "[reset]".
  std::string heard;
  /// Nothing is heard, and its side of the connection takes only what fits into its buffers.
  bool deaf = false;
  /// Between the turns of the loop.
  virtual void Turn() = 0;

 protected:
  std::string to_say_;
  bool finish_ = false;
};

/// An application on a TCP connection; the kernel keeps little for it.
std::unique_ptr<RelayParty> MakeSocketParty(const ThreadContext& thread);
/// Behind a tunnel in which the engine has that role.
std::unique_ptr<RelayParty> MakeStreamParty(const ThreadContext& thread, Http2Session::Role engine);

}  // namespace groundwire
