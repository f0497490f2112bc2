// SPDX-License-Identifier: Apache-2.0
// net.ipv4.ip_local_reserved_ports of the calling thread's network namespace (both families): ports
// that the kernel gives to no socket which asks for any.
#pragma once
#include "base/status.h"
#include "kernel/rtnetlink.h"

namespace groundwire {

/// Whether every port of the range is reserved.
Result<bool> ArePortsReserved(PortRange range);
/// Adds the range to what is reserved.
Status ReservePorts(PortRange range);
/// Takes the range out again; what somebody else had reserved within it goes with it.
Status FreePorts(PortRange range);

}  // namespace groundwire
