// SPDX-License-Identifier: Apache-2.0
#include "engine/pod_store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/detail_text.h"
#include "engine/worker.h"
#include "io/socket_options.h"

namespace groundwire {
namespace {

constexpr uint64_t kRetryFirstMs = 200;
constexpr uint64_t kRetryMaxMs = 30000;
constexpr uint64_t kRoundMs = 5000;
constexpr uint64_t kLookPauseMs = 20;  // a look takes a fraction of a millisecond
constexpr uint32_t kNode = 0;

Counter CounterOf(msg::PodFaultKind fault) {
  switch (fault) {
    case msg::PodFaultKind::kRelease:
      return Counter::kReleaseFailed;
    case msg::PodFaultKind::kListOld:
      return Counter::kUncapturedListFailed;
    case msg::PodFaultKind::kCloseOld:
      return Counter::kUncapturedCloseFailed;
    case msg::PodFaultKind::kRepaired:
      return Counter::kCaptureRepaired;
    case msg::PodFaultKind::kRepair:
      return Counter::kCaptureRepairFailed;
  }
  return Counter::kReleaseFailed;
}

std::shared_ptr<Pod> MakePod(const msg::CapturePod& command, std::unique_ptr<PodCapture> capture) {
  auto pod = std::make_shared<Pod>();
  pod->id = command.pod;
  pod->uid = command.uid;
  pod->addresses = command.addresses;
  pod->identity = command.identity;
  pod->netns_fd = capture->netns_fd();
  const PodListeners& listeners = capture->listeners();
  pod->outbound.Reset(listeners.outbound);
  pod->inbound_plaintext.Reset(listeners.inbound_plaintext);
  pod->inbound_hbone.Reset(listeners.inbound_hbone);
  pod->dns_udp.Reset(listeners.dns_udp);
  pod->dns_tcp.Reset(listeners.dns_tcp);
  for (const UniqueFd* listener :
       {&pod->outbound, &pod->inbound_plaintext, &pod->inbound_hbone, &pod->dns_tcp}) {
    if (!listener->valid()) continue;
    SetApplicationSocketOptions(listener->get());
    pod->listener_ports.push_back(LocalAddress(listener->get()).port);
  }
  pod->capture = std::move(capture);
  return pod;
}

}  // namespace

Status PodStore::Capture(const msg::CapturePod& command, NodeCapture* node) {
  if (command.pod == 0) return Status::Error("capture pod", 0, "pod 0");
  if (pods_.contains(command.pod)) {
    return Status::Error("capture pod", 0,
                         "pod " + std::to_string(command.pod) + " is captured already");
  }
  auto capture = node->CapturePod(
      {command.pod, command.uid, command.netns_path, command.addresses, command.dns});
  if (!capture.ok()) return capture.status();
  const std::shared_ptr<Pod> pod = MakePod(command, std::move(capture.value()));
  pods_[command.pod].pod = pod;
  for (const auto& worker : *workers_) {
    worker->Post(
        [to = worker.get(), shared = std::shared_ptr<const Pod>(pod)] { to->AddPod(shared); });
  }
  ReportUncaptured(*pod, command.existing == msg::ExistingConnections::kClose);
  return Status::Ok();
}

void PodStore::ReportUncaptured(const Pod& pod, bool close) {
  const auto found = pod.capture->FindUncaptured();
  if (!found.ok()) return Report(pod.id, msg::PodFaultKind::kListOld, found.status());
  if (found.value().empty()) return;
  msg::UncapturedConnections event;
  event.pod = pod.id;
  if (close) {
    const Status closed = pod.capture->CloseUncaptured(found.value());
    event.closed = closed.ok();
    if (!event.closed) Report(pod.id, msg::PodFaultKind::kCloseOld, closed);
  }
  for (const TcpPair& pair : found.value()) event.connections.push_back({pair.local, pair.remote});
  shared_->events.Push(event);
}

void PodStore::Report(uint32_t pod, msg::PodFaultKind fault, const Status& why) {
  Report(pod, fault, why.ToString());
}

void PodStore::Report(uint32_t pod, msg::PodFaultKind fault, const std::string& what) {
  shared_->events.Push(msg::PodFault{pod, fault, DetailText(what)});
  // Counters have one writer each, and the control thread has none that are read.
  Worker* const worker = workers_->front().get();
  worker->Post([worker, counter = CounterOf(fault)] { worker->counters().Add(counter); });
}

Status PodStore::Release(const msg::ReleasePod& command, EventLoop* control) {
  const auto found = pods_.find(command.pod);
  if (found == pods_.end()) {
    return Status::Error("release pod", 0,
                         "pod " + std::to_string(command.pod) + " is not captured");
  }
  Entry& entry = found->second;
  if (entry.releasing) return Status::Ok();
  entry.releasing = true;
  entry.retry_ms = kRetryFirstMs;
  Status stopped = entry.pod->capture->StopSteering();
  entry.workers_draining = workers_->size();
  for (const auto& worker : *workers_) {
    const auto done = [this, control, pod = command.pod] {
      control->Post([this, pod, control] { OnDrained(pod, control); });
    };
    worker->Post([to = worker.get(), command, done] {
      to->DrainPod(command.pod, command.drain_deadline_ms, done);
    });
  }
  return stopped;
}

void PodStore::WatchOver(NodeCapture* node, EventLoop* control) {
  const uint64_t share = kRoundMs / (pods_.size() + 1);
  control->After(std::max(share, kLookPauseMs), [this, node, control] {
    Look(node);
    WatchOver(node, control);
  });
}

void PodStore::Look(NodeCapture* node) {
  if (round_.empty()) {
    for (const auto& [id, entry] : pods_) round_.push_back(id);
    round_.push_back(kNode);
  }
  const uint32_t next = round_.back();
  round_.pop_back();
  if (next == kNode) return ReportRepair(kNode, node->Repair());
  const auto found = pods_.find(next);
  if (found == pods_.end() || found->second.releasing) return;
  ReportRepair(next, found->second.pod->capture->Repair());
}

void PodStore::ReportRepair(uint32_t pod, const Result<std::vector<std::string>>& repair) {
  if (!repair.ok()) return Report(pod, msg::PodFaultKind::kRepair, repair.status());
  if (repair.value().empty()) return;
  std::string what;
  for (const std::string& one : repair.value()) what += (what.empty() ? "" : ", ") + one;
  Report(pod, msg::PodFaultKind::kRepaired, what);
}

void PodStore::OnDrained(uint32_t pod, EventLoop* control) {
  const auto found = pods_.find(pod);
  if (found != pods_.end() && --found->second.workers_draining == 0) FinishRelease(pod, control);
}

void PodStore::FinishRelease(uint32_t pod, EventLoop* control) {
  const auto found = pods_.find(pod);
  if (found == pods_.end()) return;
  Entry& entry = found->second;
  if (const Status released = entry.pod->capture->Release(); !released.ok()) {
    // Rules that stayed would lead the pod's traffic nowhere: it is not released before they are
    // gone.
    Report(pod, msg::PodFaultKind::kRelease, released);
    control->After(entry.retry_ms, [this, pod, control] { FinishRelease(pod, control); });
    entry.retry_ms = std::min(entry.retry_ms * 2, kRetryMaxMs);
    return;
  }
  pods_.erase(found);
  shared_->events.Push(msg::PodReleased{pod});
}

}  // namespace groundwire
