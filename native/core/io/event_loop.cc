// SPDX-License-Identifier: Apache-2.0
#include "io/event_loop.h"

#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/clock.h"

namespace groundwire {
namespace {

// Enough to amortise the call, few enough that one turn stays short.
constexpr int kEventsPerTurn = 256;
constexpr int kWaitMaxMs = 60000;

uint64_t WordOf(uint32_t slot, uint32_t generation) { return uint64_t{generation} << 32 | slot; }

Status AddToEpoll(int epoll, int fd, uint32_t events, uint64_t word) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = word;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return Status::Error("epoll_ctl", errno);
  return Status::Ok();
}

}  // namespace

EventHandler::~EventHandler() {
  if (loop_ != nullptr) loop_->Forget(this);
}

EventLoop::~EventLoop() {
  // What is discarded with the loop must not look for it.
  for (const Slot& slot : slots_) {
    if (slot.handler != nullptr) slot.handler->loop_ = nullptr;
  }
}

Status EventLoop::Open() {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return Status::Error("epoll_create1", errno);
  wake_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake_.valid()) return Status::Error("eventfd", errno);
  now_us_ = MonotonicUs();
  return AddToEpoll(epoll_.get(), wake_.get(), EPOLLIN | EPOLLET, WordOf(0, 0));
}

void EventLoop::Run() {
  while (!stopping_.load(std::memory_order_acquire)) RunTurn(kWaitMaxMs);
}

void EventLoop::RunTurn(int wait_max_ms) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = Wait(events.data(), wait_max_ms);
  now_us_ = MonotonicUs();
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    Deliver(event.data.u64, event.events);
  }
  RunPosted();
  RunTimers();
  RunDeferred();
  dying_.clear();
  dying_.swap(discarded_);
}

void EventLoop::Stop() {
  stopping_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void EventLoop::Post(Task task) {
  bool wake = false;
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(task));
    wake = !std::exchange(wake_pending_, true);
  }
  const uint64_t one = 1;
  if (wake) (void)!write(wake_.get(), &one, sizeof one);
}

Status EventLoop::Watch(int fd, EventHandler* handler) {
  return Register(fd, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET, handler);
}

Status EventLoop::WatchListener(int fd, EventHandler* handler) {
  return Register(fd, EPOLLIN | EPOLLEXCLUSIVE, handler);
}

Status EventLoop::Register(int fd, uint32_t events, EventHandler* handler) {
  if (handler->loop_ != nullptr) Forget(handler);
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = free_slots_.back();
  Slot& slot = slots_[index];
  if (Status added = AddToEpoll(epoll_.get(), fd, events, WordOf(index, slot.generation));
      !added.ok()) {
    return added;
  }
  free_slots_.pop_back();
  slot.handler = handler;
  handler->loop_ = this;
  handler->slot_ = index;
  return Status::Ok();
}

void EventLoop::Forget(EventHandler* handler) {
  Slot& slot = slots_[handler->slot_];
  slot.handler = nullptr;
  ++slot.generation;
  free_slots_.push_back(handler->slot_);
  handler->loop_ = nullptr;
}

void EventLoop::Deliver(uint64_t word, uint32_t events) {
  const Slot& slot = slots_[static_cast<uint32_t>(word)];
  const bool current = slot.generation == static_cast<uint32_t>(word >> 32);
  if (current && slot.handler != nullptr) slot.handler->OnEvents(events);
}

void EventLoop::Unwatch(int fd) { (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

EventLoop::TimerId EventLoop::After(uint64_t delay_ms, Task task) {
  const TimerId id{now_us_ + delay_ms * 1000, ++timer_sequence_};
  timers_.emplace(id, std::move(task));
  return id;
}

void EventLoop::Cancel(TimerId* timer) {
  timers_.erase(*timer);
  *timer = {};
}

int EventLoop::Wait(epoll_event* events, int wait_max_ms) {
  const int timeout_ms = WaitMs(wait_max_ms);
  if (timeout_ms == 0 || look_on_.until_us() <= now_us_) {
    return epoll_wait(epoll_.get(), events, kEventsPerTurn, timeout_ms);
  }
  counters_->Add(Counter::kLookedOn);
  ShareProcessor(Slices::kUsual);
  uint64_t now = MonotonicUs();
  while (now < look_on_.until_us()) {
    const int count = epoll_wait(epoll_.get(), events, kEventsPerTurn, 0);
    if (count != 0) {
      counters_->Add(Counter::kLookedOnPaid);
      return count;
    }
    sched_yield();
    const uint64_t after = MonotonicUs();
    if (look_on_.NoteYield(after, after - now)) ShareProcessor(Slices::kShort);
    now = after;
  }
  return epoll_wait(epoll_.get(), events, kEventsPerTurn, WaitMs(wait_max_ms));
}

void EventLoop::ShareProcessor(Slices slices) {
  if (slices_ == slices) return;
  slices_ = slices;
  AskForSlices(slices);
}

int EventLoop::WaitMs(int wait_max_ms) const {
  if (!deferred_.empty()) return 0;
  if (timers_.empty()) return wait_max_ms;
  const uint64_t due = timers_.begin()->first.first;
  const uint64_t now = MonotonicUs();
  if (due <= now) return 0;
  // Rounded up: waking a fraction of a millisecond early would spin until the timer is due.
  return static_cast<int>(
      std::min<uint64_t>((due - now + 999) / 1000, static_cast<uint64_t>(wait_max_ms)));
}

void EventLoop::RunPosted() {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(posted_mutex_);
    if (!wake_pending_) return;
    tasks.swap(posted_);
    wake_pending_ = false;
  }
  for (Task& task : tasks) task();
}

void EventLoop::RunTimers() {
  while (!timers_.empty() && timers_.begin()->first.first <= now_us_) {
    auto node = timers_.extract(timers_.begin());
    node.mapped()();
  }
}

void EventLoop::RunDeferred() {
  std::vector<Task> tasks;
  tasks.swap(deferred_);
  for (Task& task : tasks) task();
}

}  // namespace groundwire
