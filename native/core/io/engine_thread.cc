// SPDX-License-Identifier: Apache-2.0
#include "io/engine_thread.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace groundwire {
namespace {

/// struct sched_attr of the kernel in its first size; the headers of libc and kernel name it in
/// turns.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t slice_ns = 0;  // sched_runtime
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

constexpr uint32_t kNormal = 0;
// The least that the scheduler takes.
constexpr uint64_t kShortSliceNs = 100'000;
// What the scheduler thinks right.
constexpr uint64_t kUsualSliceNs = 0;

}  // namespace

void NameThread(const std::string& name) { (void)pthread_setname_np(pthread_self(), name.c_str()); }

void AskForSlices(Slices slices) {
  SchedulingAttributes attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  // Of a real-time thread the field means something else.
  if (attributes.policy != kNormal) return;
  attributes.slice_ns = slices == Slices::kShort ? kShortSliceNs : kUsualSliceNs;
  (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace groundwire
