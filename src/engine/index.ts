// SPDX-License-Identifier: Apache-2.0

export { FakeEngine } from './fake-engine.ts';
export { KernelError, type KernelErrorCode } from './kernel-error.ts';
export { MESH_ABI_VERSION, MESH_COUNTERS, MESH_LIMITS } from './layout.gen.ts';
export type * from './messages.gen.ts';
export { ConsultedFieldBit } from './messages.gen.ts';
export { NativeEngine } from './native-engine.ts';
export type * from './port.ts';
export { probeKernel } from './probe.ts';
