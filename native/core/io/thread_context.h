// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/counters.h"
#include "base/id_sequence.h"
#include "io/event_loop.h"
#include "io/kept_memory.h"
#include "io/lingering_sockets.h"
#include "io/thread_scratch.h"
#include "port/event_queue.h"
#include "port/messages.gen.h"

namespace groundwire {

/// What every part of a worker works with. All of it belongs to the worker's thread, but for the
/// options, which never change, and the queue of events, which guards itself; all of it outlives
/// whoever was given it.
struct ThreadContext {
  EventLoop* loop = nullptr;
  ThreadScratch* scratch = nullptr;
  KeptMemory* kept = nullptr;
  Counters* counters = nullptr;
  IdSequence* ids = nullptr;
  EventQueue* events = nullptr;
  const msg::EngineOptions* options = nullptr;
  LingeringSockets* lingering = nullptr;
};

}  // namespace groundwire
