// SPDX-License-Identifier: Apache-2.0
// The data plane as its one caller sees it. Behind it: a control thread that executes commands, N
// workers that carry.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "capture/capture.h"
#include "capture/pod_sockets.h"
#include "port/event_queue.h"
#include "port/messages.gen.h"

namespace groundwire {

/// Thread-safe as a whole; meant to be called from one thread (the agent's JavaScript thread).
/// Nothing here waits for the network; ReadSnapshot waits for the longest of the current turns of the workers, Close for
/// the threads to end.
class Engine {
 public:
  /// Opens the kernel side, then starts the threads. `sink` must outlive the engine.
  static Result<std::unique_ptr<Engine>> Open(const msg::EngineOptions& options, EventSink* sink);
  /// The same over a given kernel side: how the engine is tested without root.
  static Result<std::unique_ptr<Engine>> OpenWith(const msg::EngineOptions& options,
                                                  EventSink* sink,
                                                  std::unique_ptr<NodeCapture> capture,
                                                  std::unique_ptr<PodSockets> sockets);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// In order, but for what CommandLanes says; ends in one BatchDone event, which is never dropped.
  void Apply(uint64_t batch, std::vector<msg::Command> commands);
  void Answer(std::vector<msg::Answer> answers);
  /// Moves at most `max` waiting events into `packed` (a batch: u32 count, then u8 kind and message
  /// each; appended). `*dropped` is the number of records that found no room since the last call.
  /// Returns the number packed.
  size_t DrainEvents(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped);
  /// `parts`: bits of msg::kPart*. Appends one batch of msg::Snapshot.
  void ReadSnapshot(uint8_t parts, std::vector<uint8_t>* packed);
  /// Ends every connection, closes every socket and joins the threads; pins stay, so capture stays
  /// fail-closed. Idempotent; every later call does nothing.
  void Close();

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace groundwire
