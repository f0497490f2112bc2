// SPDX-License-Identifier: Apache-2.0
#include "io/dial.h"

#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "io/socket_options.h"

namespace groundwire {

void Dial::Start(Result<int> socket, const SocketAddress& destination, Reach reach,
                 uint32_t timeout_ms) {
  if (!socket.ok()) {
    const int error = socket.status().errno_value;
    return owner_->OnDialled(
        error == 0 ? ErrorCode::kConnectUnreachable : CodeOfConnectError(error), UniqueFd());
  }
  fd_.Reset(socket.value());
  // Of a pod on this node the kernel knows when it is gone.
  reach == Reach::kPod ? SetLocalSocketOptions(fd_.get()) : SetApplicationSocketOptions(fd_.get());
  if (const int error = StartConnect(fd_.get(), destination); error != 0) {
    if (error == EADDRNOTAVAIL) loop_->counters()->Add(Counter::kSourcePortsExhausted);
    return Finish(CodeOfConnectError(error));
  }
  // A destination on this machine has answered before connect returned: no need to wait for an
  // event.
  if (IsConnected(fd_.get())) return Finish(ErrorCode::kNone);
  if (!loop_->Watch(fd_.get(), this).ok()) return Finish(ErrorCode::kOutOfFiles);
  deadline_ = loop_->After(timeout_ms, [this] { Finish(ErrorCode::kConnectTimeout); });
}

void Dial::OnEvents(uint32_t events) {
  if (!fd_.valid() || (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
  loop_->Unwatch(fd_.get());
  Finish(CodeOfConnectError(TakeSocketError(fd_.get())));
}

void Dial::Finish(ErrorCode code) {
  loop_->Cancel(&deadline_);
  UniqueFd fd = std::move(fd_);
  if (code != ErrorCode::kNone) fd.Reset();
  owner_->OnDialled(code, std::move(fd));
}

void Dial::Cancel() {
  loop_->Cancel(&deadline_);
  fd_.Reset();
}

}  // namespace groundwire
