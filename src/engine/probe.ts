// SPDX-License-Identifier: Apache-2.0
import type { KernelFeature, ProbeOptions } from '../model/messages.gen.ts';
import { loadAddon } from './addon.ts';
import { decodeProbeReport, encodeProbeOptions } from './messages.gen.ts';

/**
 * Tries each kernel feature that the engine needs and says what is there, without leaving anything behind.
 *
 * Throws `KernelError` ERR_ENGINE_NOT_BUILT; a feature that is missing is a row, not an error.
 */
export function probeKernel(options: ProbeOptions): readonly KernelFeature[] {
  return decodeProbeReport(loadAddon().probe(encodeProbeOptions(options))).features;
}
