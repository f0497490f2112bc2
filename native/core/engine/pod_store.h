// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/counters.h"
#include "base/status.h"
#include "capture/capture.h"
#include "capture/pod.h"
#include "engine/engine_shared.h"
#include "io/event_loop.h"
#include "port/messages.gen.h"

namespace groundwire {

class Worker;

/// The captured pods, on the control thread: from CapturePod until the last trace in the pod's
/// namespace is removed.
class PodStore {
 public:
  PodStore(EngineShared* shared, const std::vector<std::unique_ptr<Worker>>* workers)
      : shared_(shared), workers_(workers) {}

  /// All or nothing; afterwards every worker accepts for the pod. Reports connections older than
  /// the capture.
  Status Capture(const msg::CapturePod& command, NodeCapture* node);
  /// Stops steering, drains on every worker, then removes the kernel's part and says PodReleased.
  /// What cannot be removed is tried again until it can: release_failed.
  Status Release(const msg::ReleasePod& command, EventLoop* control);
  /// Looks at what capture needs of the node and of each captured pod, one after the other, again
  /// and again, and has it repaired: each once in kRoundMs, or as often as kLookPauseMs lets it.
  void WatchOver(NodeCapture* node, EventLoop* control);
  /// After the workers have ended: closes handles, leaves pins.
  void Close() { pods_.clear(); }

 private:
  struct Entry {
    std::shared_ptr<Pod> pod;
    size_t workers_draining = 0;
    bool releasing = false;
    uint64_t retry_ms = 0;  // until the next try, once one has failed
  };

  void ReportUncaptured(const Pod& pod, bool close);
  void Report(uint32_t pod, msg::PodFaultKind fault, const Status& why);
  void Report(uint32_t pod, msg::PodFaultKind fault, const std::string& what);
  void Look(NodeCapture* node);
  void ReportRepair(uint32_t pod, const Result<std::vector<std::string>>& repair);
  void OnDrained(uint32_t pod, EventLoop* control);
  void FinishRelease(uint32_t pod, EventLoop* control);

  EngineShared* const shared_;
  const std::vector<std::unique_ptr<Worker>>* const workers_;
  std::unordered_map<uint32_t, Entry> pods_;
  std::vector<uint32_t> round_;  // whom this round has not looked at yet; 0 = the node
};

}  // namespace groundwire
