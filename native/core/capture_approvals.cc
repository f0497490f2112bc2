// SPDX-License-Identifier: Apache-2.0
#include "capture_approvals.h"

#include <bpf/bpf.h>

#include "bpf_map.h"
#include "mesh_abi.h"

namespace groundwire {
namespace {

template <typename Predicate>
void ForgetIf(int approvals, Predicate predicate) {
  for (const mesh_approval& approval : ReadKeys<mesh_approval, uint32_t>(approvals)) {
    // That it is gone already is as good.
    if (predicate(approval)) (void)bpf_map_delete_elem(approvals, &approval);
  }
}

}  // namespace

void ForgetApprovals(int approvals, uint64_t netns_cookie) {
  ForgetIf(approvals, [netns_cookie](const mesh_approval& approval) {
    return approval.netns_cookie == netns_cookie;
  });
}

void ForgetApprovals(int approvals) {
  ForgetIf(approvals, [](const mesh_approval&) { return true; });
}

}  // namespace groundwire
