// SPDX-License-Identifier: Apache-2.0
import {
  type CounterHelp,
  ENGINE_COUNTERS,
  ENGINE_READINGS,
  KERNEL_COUNTERS,
  KERNEL_READINGS,
} from '../src/telemetry/engine-counters.ts';
import { type GeneratedFile, generatedHeader } from './generated-file.ts';
import { constantName } from './message-schema.ts';

type Table = Readonly<Record<string, CounterHelp>>;

const SOURCE = 'src/telemetry/engine-counters.ts';

/** A list of `X(SYMBOL, "name")`, for whoever makes an enum or an array of it. */
function listText(macro: string, table: Table, symbolOf: (name: string) => string): string {
  const rows = Object.keys(table).map((name) => `  X(${symbolOf(name)}, "${name}")`);
  return `#define ${macro}(X) \\\n${rows.join(' \\\n')}\n`;
}

function readingText(table: Table): string {
  const rows = Object.keys(table).map((name) => `inline constexpr char ${constantName(name)}[] = "${name}";\n`);
  return rows.join('');
}

/** `native/core/base/counters.gen.h` and `bpf/mesh_counters.gen.h`: the names of counters, in their order. */
export function generateCounters(): GeneratedFile[] {
  const engine = `${generatedHeader(SOURCE)}// clang-format off
#pragma once

/// X(Counter, "name"), of every counter of a worker.
${listText('GROUNDWIRE_COUNTERS', ENGINE_COUNTERS, constantName)}
namespace groundwire::reading {

${readingText({ ...ENGINE_READINGS, ...KERNEL_READINGS })}
}  // namespace groundwire::reading
`;
  const kernel = `${generatedHeader(SOURCE)}/* clang-format off */
#ifndef MESH_COUNTERS_H
#define MESH_COUNTERS_H

/* X(SYMBOL, "name"): every way out of every program. */
${listText('MESH_COUNTERS', KERNEL_COUNTERS, (name) => name.toUpperCase())}
#endif
`;
  return [
    { path: 'native/core/base/counters.gen.h', content: engine },
    { path: 'bpf/mesh_counters.gen.h', content: kernel.replaceAll(/^\/\/ (.*)$/gm, '/* $1 */') },
  ];
}
