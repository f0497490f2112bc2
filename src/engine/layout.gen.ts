// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/mesh_abi.h by scripts/gen.ts; edit that and run `npm run gen`.

/** Version of the pinned maps. */
export const MESH_ABI_VERSION = 2;

/** Sizes of the kernel's tables. */
export const MESH_LIMITS = {
  podsMax: 1024,
  podAddressesMax: 4,
  addressesMax: 4096,
  approvalsMax: 131072,
  probeFlowsMax: 32768,
  oldFlowsMax: 65536,
  podDevicesMax: 8,
  uidBytes: 64,
} as const;
