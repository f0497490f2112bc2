// SPDX-License-Identifier: Apache-2.0

export type * from '../model/messages.gen.ts';
export { FakeEngine } from './fake-engine.ts';
export { KernelError, type KernelErrorCode } from './kernel-error.ts';
export { MESH_ABI_VERSION, MESH_LIMITS } from './layout.gen.ts';
export { NativeEngine } from './native-engine.ts';
export type * from './port.ts';
export { probeKernel } from './probe.ts';
