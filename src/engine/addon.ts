// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { errorText } from '../model/error-text.ts';
import { KernelError } from './kernel-error.ts';
import { MESH_ABI_VERSION } from './layout.gen.ts';
import { SCHEMA_HASH } from './messages.gen.ts';

declare const handleBrand: unique symbol;

/** An open engine as the addon hands it out; opaque, and checked by the addon at every use. */
export interface EngineHandle {
  readonly [handleBrand]: true;
}

/** What the addon was built from. */
export interface AddonLayout {
  readonly schemaHash: string;
  readonly abiVersion: number;
  readonly codes: Readonly<Record<string, number>>;
  readonly counters: readonly string[];
}

/** The verbs of native/binding/addon.cc. */
export interface Addon {
  /** `options`: EngineOptions of the schema, packed. */
  open(options: Uint8Array, errorClass: typeof KernelError): EngineHandle;
  apply(handle: EngineHandle, batch: bigint, commands: Uint8Array): void;
  answer(handle: EngineHandle, answers: Uint8Array): void;
  subscribe(handle: EngineHandle, listener: (events: Uint8Array, dropped: number) => void): void;
  readSnapshot(handle: EngineHandle, partsMask: number): Uint8Array;
  close(handle: EngineHandle): void;
  /** ProbeOptions of the schema, packed, to a packed ProbeReport. */
  probe(options: Uint8Array): Uint8Array;
  layout(): AddonLayout;
}

const ADDON_PATH = fileURLToPath(new URL('../../build/Release/groundwire.node', import.meta.url));

function notBuilt(reason: string, cause?: unknown): KernelError {
  const message = `${ADDON_PATH} ${reason}; run \`npm run build\``;
  return new KernelError('ERR_ENGINE_NOT_BUILT', message, { op: 'load addon', detail: reason, cause });
}

/**
 * Loads the compiled addon.
 *
 * Throws `KernelError` ERR_ENGINE_NOT_BUILT when it is missing, does not load into this Node, or was built from other
 * sources than these.
 */
export function loadAddon(): Addon {
  if (!existsSync(ADDON_PATH)) throw notBuilt('does not exist');
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(ADDON_PATH) as Addon;
  } catch (cause) {
    throw notBuilt(`does not load into this Node (${errorText(cause)})`, cause);
  }
  const { schemaHash, abiVersion } = addon.layout();
  if (schemaHash !== SCHEMA_HASH || abiVersion !== MESH_ABI_VERSION) throw notBuilt('was built from other sources');
  return addon;
}
