// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "io/byte_stream.h"
#include "io/event_loop.h"

namespace groundwire {

/// HTTP/2 without TLS under it, so that a test or a fuzzer can speak to a session in clear bytes.
class PlainStream final : public ByteStream, public EventHandler {
 public:
  PlainStream(UniqueFd fd, EventLoop* loop) : fd_(std::move(fd)), loop_(loop) {}
  Status Start(ByteStreamUser* user) override {
    user_ = user;
    return loop_->Watch(fd_.get(), this);
  }
  void OnEvents(uint32_t events) override {
    if (!fd_.valid()) return;
    const bool readable = (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    user_->OnStreamReady(readable, (events & EPOLLOUT) != 0);
  }
  StreamState Open() override { return StreamState::kOk; }
  ReadResult Read(uint8_t* buffer, size_t size) override {
    const ssize_t count = recv(fd_.get(), buffer, size, 0);
    if (count > 0) return {StreamState::kOk, static_cast<size_t>(count)};
    if (count == 0) return {StreamState::kEnd, 0};
    if (errno == EAGAIN) return {StreamState::kBlocked, 0};
    return Fail();
  }
  StreamState Write(const uint8_t* data, size_t size) override {
    unsent_.insert(unsent_.end(), data, data + size);
    return StreamState::kOk;
  }
  StreamState Flush() override {
    const ssize_t count =
        send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN) return Fail().state;
    if (count > 0) unsent_.erase(unsent_.begin(), unsent_.begin() + count);
    blocked_ = !unsent_.empty();
    return blocked_ ? StreamState::kBlocked : StreamState::kOk;
  }
  bool blocked() const override { return blocked_; }
  void Shutdown() override {}
  void Close() override { fd_.Reset(); }
  ErrorCode error() const override { return error_; }
  const std::string& error_detail() const override { return detail_; }

 private:
  ReadResult Fail() {
    error_ = ErrorCode::kPeerReset;
    detail_ = "socket error";
    unsent_.clear();
    blocked_ = false;
    return {StreamState::kError, 0};
  }
  UniqueFd fd_;
  EventLoop* const loop_;
  ByteStreamUser* user_ = nullptr;
  std::vector<uint8_t> unsent_;
  bool blocked_ = false;  // by what Flush left behind, not by what Write just brought
  ErrorCode error_ = ErrorCode::kNone;
  std::string detail_;
};

}  // namespace groundwire
