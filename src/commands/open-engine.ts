// SPDX-License-Identifier: Apache-2.0

import { KernelError } from '../engine/kernel-error.ts';
import { NativeEngine } from '../engine/native-engine.ts';
import type { EnginePort } from '../engine/port.ts';
import { probeKernel } from '../engine/probe.ts';
import type { EngineOptions, KernelFeature } from '../model/messages.gen.ts';
import { remediesOf } from './doctor.ts';
import { CliError, EXIT } from './exit-code.ts';

/** The addon, as far as opening the engine goes. */
export interface EngineMaker {
  open(options: EngineOptions): EnginePort;
  probe(options: EngineOptions): readonly KernelFeature[];
}

const NATIVE: EngineMaker = { open: (options) => NativeEngine.open(options), probe: probeKernel };

/**
 * Opens the engine. Where the kernel does not let it, tries each feature that it needs.
 *
 * Throws `CliError` with what is missing and what to do, or the engine's own `KernelError` when nothing is.
 */
export function openEngine(options: EngineOptions, maker = NATIVE): EnginePort {
  try {
    return maker.open(options);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'ERR_ENGINE_OPEN') throw error;
    const missing = maker.probe(options).filter(({ required, present }) => required && !present);
    if (missing.length === 0) throw error;
    const lines = [
      `the engine could not be started, this kernel or container lacks what it needs: ${error.message.split('\n')[0]}`,
      ...missing.map(({ name, detail }) => `  ${name}: ${detail.trim().split('\n')[0]}`),
      ...remediesOf(missing),
    ];
    throw new CliError(EXIT.system, lines.join('\n'), { cause: error });
  }
}
