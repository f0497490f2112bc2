// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <deque>
#include <latch>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>

#include "engine/answer_desk.h"
#include "engine/command_lanes.h"
#include "engine/engine_shared.h"
#include "engine/pod_store.h"
#include "engine/worker.h"
#include "io/engine_thread.h"
#include "io/socket_options.h"

namespace groundwire {

struct Engine::Impl {
  Impl(const msg::EngineOptions& options, EventSink* sink,
       std::unique_ptr<NodeCapture> node_capture, std::unique_ptr<PodSockets> sockets)
      : shared(options, sink, std::move(sockets)),
        capture(std::move(node_capture)),
        pods(&shared, &workers) {}

  Status Start();
  void Execute(uint64_t batch, const std::vector<msg::Command>& commands);
  Status Execute(const msg::SetIdentity& command);
  Status Execute(const msg::RemoveIdentity& command);
  Status Execute(const msg::CapturePod& command);
  Status Execute(const msg::ReleasePod& command);
  Status Execute(const msg::SetPeers& command);
  Status Execute(const msg::InvalidateVerdicts& command);
  Status Execute(const msg::Drain& command);
  void AppendCounters(msg::BatchWriter* batch);
  void AskForKernelCounters();

  EngineShared shared;
  /// Only the control thread touches it, but for Open and Close.
  std::unique_ptr<NodeCapture> capture;
  std::vector<std::unique_ptr<Worker>> workers;
  PodStore pods;
  /// Commands come one by one here: nothing is ever looked on for.
  Counters control_counters;
  EventLoop control{&control_counters};
  std::thread control_thread;
  /// For what is not to wait behind the control thread.
  Counters recall_counters;
  EventLoop recall{&recall_counters};
  std::thread recall_thread;
  CommandLanes lanes{
      &control, &recall,
      [this](uint64_t batch, const CommandLanes::Commands& commands) { Execute(batch, commands); }};
  std::atomic<bool> closed{false};
  /// A read waits on the control thread, or runs there.
  std::atomic<bool> kernel_counters_asked{false};
  std::mutex kernel_counters_mutex;
  std::vector<std::pair<std::string, uint64_t>> kernel_counters;  // under the mutex
};

namespace {

/// What one worker has to tell.
struct WorkerPart {
  std::vector<uint8_t> packed;
  msg::BatchWriter batch{&packed};
  SnapshotSums sums;
};

/// Asks all workers at once, each on its own thread, and waits for the slowest.
std::deque<WorkerPart> AskWorkers(const std::vector<std::unique_ptr<Worker>>& workers,
                                  uint8_t parts) {
  std::deque<WorkerPart> told(workers.size());
  std::latch done(static_cast<std::ptrdiff_t>(workers.size()));
  for (size_t i = 0; i < workers.size(); ++i) {
    workers[i]->Post([worker = workers[i].get(), part = &told[i], parts, &done] {
      worker->AppendSnapshot(parts, &part->batch, &part->sums);
      done.count_down();
    });
  }
  done.wait();
  return told;
}

/// Posts a copy of `task` to each worker.
template <typename Task>
void PostToWorkers(const std::vector<std::unique_ptr<Worker>>& workers, Task task) {
  for (const auto& worker : workers) {
    worker->Post([to = worker.get(), task] { task(to); });
  }
}

}  // namespace

Status Engine::Impl::Start() {
  if (Status opened = control.Open(); !opened.ok()) return opened;
  if (Status opened = recall.Open(); !opened.ok()) return opened;
  const uint32_t count = std::clamp<uint32_t>(shared.options.worker_threads, 1, 255);
  for (uint32_t i = 0; i < count; ++i) {
    workers.push_back(std::make_unique<Worker>(static_cast<uint8_t>(i), &shared));
    if (Status started = workers.back()->Start(); !started.ok()) return started;
  }
  control_thread = std::thread([this] {
    NameThread("gw-control");
    pods.WatchOver(capture.get(), &control);
    control.Run();
  });
  recall_thread = std::thread([this] {
    NameThread("gw-recall");
    recall.Run();
  });
  return Status::Ok();
}

void Engine::Impl::Execute(uint64_t batch, const std::vector<msg::Command>& commands) {
  msg::BatchDone done;
  done.batch = batch;
  for (size_t i = 0; i < commands.size(); ++i) {
    const Status status =
        std::visit([this](const auto& command) { return Execute(command); }, commands[i]);
    if (status.ok()) continue;
    done.outcome =
        msg::BatchFailed{static_cast<uint32_t>(i), status.op, status.errno_value, status.detail};
    break;
  }
  shared.events.Push(done);
}

Status Engine::Impl::Execute(const msg::SetIdentity& command) {
  if (Status set = shared.identities.Set(command); !set.ok()) return set;
  PostToWorkers(workers,
                [name = command.identity](Worker* worker) { worker->OnIdentityReplaced(name); });
  return Status::Ok();
}

Status Engine::Impl::Execute(const msg::RemoveIdentity& command) {
  shared.identities.Remove(command.identity);
  PostToWorkers(workers,
                [name = command.identity](Worker* worker) { worker->OnIdentityRemoved(name); });
  return Status::Ok();
}

Status Engine::Impl::Execute(const msg::CapturePod& command) {
  return pods.Capture(command, capture.get());
}

Status Engine::Impl::Execute(const msg::ReleasePod& command) {
  return pods.Release(command, &control);
}

Status Engine::Impl::Execute(const msg::SetPeers& command) {
  PostToWorkers(workers, [peers = command.peers](Worker* worker) { worker->SetPeers(peers); });
  return Status::Ok();
}

Status Engine::Impl::Execute(const msg::InvalidateVerdicts& command) {
  const auto verdicts = std::make_shared<const std::vector<uint64_t>>(command.verdicts);
  PostToWorkers(workers, [verdicts](Worker* worker) { worker->InvalidateVerdicts(*verdicts); });
  return Status::Ok();
}

Status Engine::Impl::Execute(const msg::Drain& command) {
  PostToWorkers(workers,
                [deadline = command.deadline_ms](Worker* worker) { worker->Drain(deadline); });
  return Status::Ok();
}

void Engine::Impl::AppendCounters(msg::BatchWriter* batch) {
  for (size_t i = 0; i < kCounterCount; ++i) {
    msg::Counter counter;
    counter.name = NameOf(static_cast<Counter>(i));
    for (const auto& worker : workers)
      counter.value += worker->counters().Read(static_cast<Counter>(i));
    batch->Add(counter);
  }
  batch->Add(msg::Counter{reading::kEventsDropped, shared.events.records_dropped()});
  batch->Add(msg::Counter{reading::kQuestionsDropped, shared.events.questions_dropped()});
  batch->Add(msg::Counter{reading::kQuestionBytesLive, shared.events.question_bytes()});
  batch->Add(msg::Counter{reading::kRecordBytesLive, shared.events.record_bytes()});
  const int64_t live = shared.connections.load(std::memory_order_relaxed);
  batch->Add(
      msg::Counter{reading::kConnectionsLive, static_cast<uint64_t>(std::max<int64_t>(live, 0))});
  uint64_t kept = 0;
  for (const auto& worker : workers) kept += worker->kept().used();
  batch->Add(msg::Counter{reading::kKeptBytesLive, kept});
  batch->Add(msg::Counter{reading::kKeptBytesMax, shared.options.kept_memory_bytes});
  AskForKernelCounters();
  const std::lock_guard lock(kernel_counters_mutex);
  for (const auto& [name, value] : kernel_counters) batch->Add(msg::Counter{name, value});
}

/// A read of the kernel's counters belongs to the control thread; a scrape gets what the one before
/// it asked for, and never waits behind a batch that is being executed. Nor does a batch wait behind
/// more than one read, however many scrape: anybody may.
void Engine::Impl::AskForKernelCounters() {
  if (kernel_counters_asked.exchange(true)) return;
  control.Post([this] {
    auto read = capture->ReadCounters();
    kernel_counters_asked = false;
    if (!read.ok()) return;
    const std::lock_guard lock(kernel_counters_mutex);
    kernel_counters = std::move(read.value());
  });
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() { Close(); }

Result<std::unique_ptr<Engine>> Engine::OpenWith(const msg::EngineOptions& options, EventSink* sink,
                                                 std::unique_ptr<NodeCapture> capture,
                                                 std::unique_ptr<PodSockets> sockets) {
  auto impl = std::make_unique<Impl>(options, sink, std::move(capture), std::move(sockets));
  const Status started = impl->Start();
  std::unique_ptr<Engine> engine(new Engine(std::move(impl)));
  if (!started.ok()) return started;  // ~Engine ends the threads that did start.
  return engine;
}

void Engine::Apply(uint64_t batch, std::vector<msg::Command> commands) {
  if (impl_->closed.load()) return;
  impl_->lanes.Post(batch, std::move(commands));
}

void Engine::Answer(std::vector<msg::Answer> answers) {
  if (impl_->closed.load()) return;
  AnswerDesk(&impl_->shared, &impl_->workers).Take(std::move(answers));
}

size_t Engine::DrainEvents(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped) {
  return impl_->shared.events.Drain(packed, max, dropped);
}

void Engine::ReadSnapshot(uint8_t parts, std::vector<uint8_t>* packed) {
  msg::BatchWriter batch(packed);
  if (impl_->closed.load()) return;
  SnapshotSums sums;
  constexpr uint8_t kWorkerParts =
      msg::kPartConnections | msg::kPartTunnels | msg::kPartFlows | msg::kPartDnsUpstreams;
  if ((parts & kWorkerParts) != 0) {
    for (const WorkerPart& part : AskWorkers(impl_->workers, parts)) {
      batch.AddAll(part.batch);
      part.sums.flows.AddTo(&sums.flows);
      part.sums.dns_upstreams.AddTo(&sums.dns_upstreams);
    }
  }
  for (const auto& [key, row] : sums.flows.rows()) {
    batch.Add(msg::Flow{key.direction, key.flow_label, key.peer_label,
                        static_cast<uint16_t>(key.code), row.opened, row.closed, row.failed,
                        row.bytes_sent, row.bytes_received});
  }
  for (const auto& [label, row] : sums.dns_upstreams.rows()) {
    batch.Add(msg::DnsUpstream{
        label, row.failed, row.duration_us, {row.answered.begin(), row.answered.end()}});
  }
  if ((parts & msg::kPartCounters) != 0) impl_->AppendCounters(&batch);
}

void Engine::Close() {
  if (impl_->closed.exchange(true)) return;
  // Control first: it waits for what is recalled, and both post to the workers, where what they posted
  // must still find them.
  for (auto [loop, thread] : {std::pair(&impl_->control, &impl_->control_thread),
                              std::pair(&impl_->recall, &impl_->recall_thread)}) {
    if (!thread->joinable()) continue;
    loop->Post([stopped = loop] { stopped->Stop(); });
    thread->join();
  }
  for (const auto& worker : impl_->workers) worker->StopAndJoin();
  impl_->pods.Close();
  impl_->capture.reset();
}

}  // namespace groundwire
