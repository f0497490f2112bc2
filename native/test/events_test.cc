// SPDX-License-Identifier: Apache-2.0
// What crosses between TypeScript and the engine's threads: events up, batches of commands down.
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/counters.h"
#include "check.h"
#include "engine/command_lanes.h"
#include "io/event_loop.h"
#include "port/event_queue.h"
#include "port/fair_queue.h"

using namespace groundwire;

namespace {

constexpr size_t kPlenty = 1 << 20;

struct CountingSink final : EventSink {
  void Wake() override { ++wakes; }
  int wakes = 0;
};

/// Room for that many of them.
template <typename Event>
size_t RoomFor(const Event& event, size_t count) {
  return count * FairQueue::CostOf(msg::Pack(event));
}

std::vector<msg::Event> Drain(EventQueue* queue, size_t max, uint64_t* dropped) {
  std::vector<uint8_t> packed;
  std::vector<msg::Event> events;
  const size_t count = queue->Drain(&packed, max, dropped);
  CHECK(msg::DecodeBatch(packed, &events));
  CHECK_EQ(events.size(), count);
  return events;
}

msg::OutboundQuestion QuestionOf(uint32_t pod, uint64_t id) { return {id, pod, {}}; }

msg::ConnectionClosed RecordOf(uint32_t pod, uint64_t id) {
  msg::ConnectionClosed record;
  record.pod = pod;
  record.id = id;
  return record;
}

/// Two lanes, and what was executed in which order.
struct Lanes {
  Lanes() {
    for (size_t i = 0; i < 2; ++i) {
      (void)loops[i].Open();
      threads[i] = std::thread([this, i] { loops[i].Run(); });
    }
  }
  ~Lanes() {
    for (size_t i = 0; i < 2; ++i) {
      loops[i].Post([this, i] { loops[i].Stop(); });
      threads[i].join();
    }
  }
  void OnBatch(uint64_t batch) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return held != batch; });
    executed.push_back(batch);
    changed.notify_all();
  }
  void Hold(uint64_t batch) {
    const std::lock_guard lock(mutex);
    held = batch;
    changed.notify_all();
  }
  std::vector<uint64_t> Await(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(10), [&] { return executed.size() >= count; });
    return executed;
  }

  std::mutex mutex;
  std::condition_variable changed;
  uint64_t held = 0;
  std::vector<uint64_t> executed;
  std::array<Counters, 2> counters;
  std::array<EventLoop, 2> loops{EventLoop{&counters[0]}, EventLoop{&counters[1]}};
  std::array<std::thread, 2> threads;
  CommandLanes lanes{&loops[0], &loops[1],
                     [this](uint64_t batch, const CommandLanes::Commands&) { OnBatch(batch); }};
};

}  // namespace

TEST("event queue: bounded, counts what it drops, never drops the end of a batch") {
  CountingSink sink;
  EventQueue queue(&sink, RoomFor(QuestionOf(1, 0), 2), kPlenty);
  for (uint64_t i = 0; i < 5; ++i) queue.Push(QuestionOf(1, i));
  queue.Push(msg::BatchDone{7, {}});
  CHECK_EQ(sink.wakes, 1);
  CHECK_EQ(queue.questions_dropped(), 3u);
  CHECK_EQ(queue.question_bytes(), RoomFor(QuestionOf(1, 0), 2));
  uint64_t dropped = 0;
  std::vector<msg::Event> events = Drain(&queue, 2, &dropped);
  REQUIRE(events.size() == 2);
  CHECK_EQ(dropped, 0u);    // of records
  CHECK_EQ(sink.wakes, 2);  // more is left
  CHECK_EQ(std::get<msg::BatchDone>(events[0]).batch, 7u);
  CHECK_EQ(std::get<msg::OutboundQuestion>(events[1]).question, 0u);
  events = Drain(&queue, 100, &dropped);
  REQUIRE(events.size() == 1);
  CHECK_EQ(std::get<msg::OutboundQuestion>(events[0]).question, 1u);
  CHECK_EQ(queue.question_bytes(), 0u);
}

TEST("event queue: a flood of records takes no room from questions, and comes after them") {
  CountingSink sink;
  EventQueue queue(&sink, kPlenty, RoomFor(RecordOf(1, 0), 3));
  for (uint64_t i = 0; i < 1000; ++i) queue.Push(RecordOf(1, i));
  queue.Push(QuestionOf(1, 1));
  queue.Push(msg::InboundQuestion{});
  queue.Push(msg::DnsQuery{});
  uint64_t dropped = 0;
  std::vector<msg::Event> events = Drain(&queue, 4, &dropped);
  REQUIRE(events.size() == 4);
  CHECK_EQ(dropped, 997u);
  CHECK_EQ(queue.records_dropped(), 997u);
  CHECK_EQ(queue.questions_dropped(), 0u);
  CHECK(std::holds_alternative<msg::OutboundQuestion>(events[0]));
  CHECK_EQ(std::get<msg::ConnectionClosed>(events[3]).id, 0u);
  CHECK_EQ(Drain(&queue, 4, &dropped).size(), 2u);
  CHECK_EQ(dropped, 0u);  // told before
}

TEST("event queue: a flood of questions holds no record up") {
  CountingSink sink;
  EventQueue queue(&sink, kPlenty, kPlenty);
  for (int i = 0; i < 16; ++i) queue.Push(msg::DnsQuery{});
  queue.Push(msg::ConnectionClosed{});
  uint64_t dropped = 0;
  const std::vector<msg::Event> events = Drain(&queue, 8, &dropped);
  REQUIRE(events.size() == 8);
  CHECK(std::holds_alternative<msg::DnsQuery>(events[6]));
  CHECK(std::holds_alternative<msg::ConnectionClosed>(events[7]));
  // What is kept for records and not needed is there for questions.
  CHECK_EQ(Drain(&queue, 8, &dropped).size(), 8u);
}

TEST("event queue: a pod that floods holds up no question and no record of another pod") {
  CountingSink sink;
  EventQueue queue(&sink, kPlenty, kPlenty);
  for (uint64_t i = 0; i < 1000; ++i) {
    queue.Push(QuestionOf(1, i));
    queue.Push(RecordOf(1, i));
  }
  queue.Push(QuestionOf(2, 5000));
  queue.Push(RecordOf(3, 6000));
  uint64_t dropped = 0;
  bool question = false;
  bool record = false;
  for (const msg::Event& event : Drain(&queue, 8, &dropped)) {
    if (const auto* asked = std::get_if<msg::OutboundQuestion>(&event)) question |= asked->pod == 2;
    if (const auto* closed = std::get_if<msg::ConnectionClosed>(&event)) record |= closed->pod == 3;
  }
  CHECK(question);
  CHECK(record);
}

TEST("event queue: a pod that floods loses its own, and others' displace it") {
  CountingSink sink;
  EventQueue queue(&sink, kPlenty, RoomFor(RecordOf(1, 0), 90));
  for (uint64_t i = 0; i < 1000; ++i) queue.Push(RecordOf(1, i));
  for (uint32_t pod = 2; pod <= 3; ++pod) {
    for (uint64_t i = 0; i < 30; ++i) queue.Push(RecordOf(pod, i));
  }
  CHECK_EQ(queue.records_dropped(), 910u + 60u);
  std::array<uint64_t, 4> next{};
  uint64_t dropped = 0;
  for (const msg::Event& event : Drain(&queue, 1000, &dropped)) {
    const auto& record = std::get<msg::ConnectionClosed>(event);
    CHECK_EQ(record.id, next[record.pod]++);  // of each pod the oldest, in order
  }
  for (size_t pod = 1; pod <= 3; ++pod) CHECK_EQ(next[pod], 30u);
}

TEST("event queue: bounded in bytes, whatever the messages hold") {
  CountingSink sink;
  EventQueue queue(&sink, kPlenty, kPlenty);
  msg::DnsQuery large;
  large.message.resize(4096);
  for (uint32_t i = 0; i < 1000; ++i) {
    large.pod = 1 + i % 7;
    queue.Push(large);
  }
  CHECK(queue.question_bytes() <= kPlenty && queue.question_bytes() > kPlenty - 8192);
  queue.Push(QuestionOf(9, 1));  // a small one of a pod that has nothing there displaces one
  CHECK(queue.question_bytes() <= kPlenty);
  uint64_t dropped = 0;
  bool found = false;
  for (const msg::Event& event : Drain(&queue, 1000, &dropped))
    found |= std::holds_alternative<msg::OutboundQuestion>(event);
  CHECK(found);
  CHECK_EQ(queue.question_bytes(), 0u);
}

TEST("command lanes: what takes something back does not wait behind a capture") {
  Lanes lanes;
  lanes.Hold(1);
  lanes.lanes.Post(1, {msg::CapturePod{}});
  lanes.lanes.Post(2, {msg::CapturePod{}});
  lanes.lanes.Post(3, {msg::InvalidateVerdicts{{7}}});
  lanes.lanes.Post(4, {msg::RemoveIdentity{"a"}});
  CHECK(lanes.Await(2) == (std::vector<uint64_t>{3, 4}));
  lanes.Hold(0);
  CHECK(lanes.Await(4) == (std::vector<uint64_t>{3, 4, 1, 2}));
}

TEST(
    "command lanes: a capture comes after every command before it, the identity it needs among "
    "them") {
  Lanes lanes;
  lanes.Hold(1);
  lanes.lanes.Post(1, {msg::SetIdentity{}});
  lanes.lanes.Post(2, {msg::CapturePod{}});
  lanes.lanes.Post(3, {msg::ReleasePod{}});
  lanes.Hold(0);
  CHECK(lanes.Await(3) == (std::vector<uint64_t>{1, 2, 3}));
}

TEST("command lanes: a batch that does both keeps its place among commands of the quick kind") {
  Lanes lanes;
  lanes.Hold(1);
  lanes.lanes.Post(1, {msg::CapturePod{}});
  lanes.lanes.Post(2, {msg::SetIdentity{}, msg::CapturePod{}});
  lanes.lanes.Post(3, {msg::RemoveIdentity{}});  // may be the same one
  lanes.lanes.Post(4, {msg::InvalidateVerdicts{}});
  lanes.Hold(0);
  CHECK(lanes.Await(4) == (std::vector<uint64_t>{1, 2, 3, 4}));
  lanes.Hold(5);
  lanes.lanes.Post(5, {msg::CapturePod{}});
  lanes.lanes.Post(6, {msg::InvalidateVerdicts{}});  // quick again
  CHECK(lanes.Await(5) == (std::vector<uint64_t>{1, 2, 3, 4, 6}));
  lanes.Hold(0);
  CHECK(lanes.Await(6).back() == 5);
}

RUN_TESTS()
