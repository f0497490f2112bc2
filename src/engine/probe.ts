// SPDX-License-Identifier: Apache-2.0
import { loadAddon, type ProbeOptions } from './addon.ts';
import type { KernelFeature } from './port.ts';

/**
 * Tries each kernel feature that the engine needs and says what is there, without leaving anything behind.
 *
 * Throws `KernelError` ERR_ENGINE_NOT_BUILT; a feature that is missing is a row, not an error.
 */
export function probeKernel(options: ProbeOptions): KernelFeature[] {
  return loadAddon().probe(options);
}
