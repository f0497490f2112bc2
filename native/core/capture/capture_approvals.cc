// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_approvals.h"

#include <bpf/bpf.h>

#include "kernel/bpf_map.h"
#include "mesh_abi.h"

namespace groundwire {
namespace {

template <typename Predicate>
Status ForgetIf(int approvals, Predicate predicate) {
  const auto all = ReadKeys<mesh_approval, uint32_t>(approvals);
  if (!all.ok()) return all.status();
  for (const mesh_approval& approval : all.value()) {
    // That it is gone already is as good.
    if (predicate(approval)) (void)bpf_map_delete_elem(approvals, &approval);
  }
  return Status::Ok();
}

}  // namespace

Status ForgetApprovals(int approvals, uint64_t netns_cookie) {
  return ForgetIf(approvals, [netns_cookie](const mesh_approval& approval) {
    return approval.netns_cookie == netns_cookie;
  });
}

Status ForgetApprovals(int approvals) {
  return ForgetIf(approvals, [](const mesh_approval&) { return true; });
}

}  // namespace groundwire
