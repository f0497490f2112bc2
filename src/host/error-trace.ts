// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { dirname, join, relative } from 'node:path';

/**
 * What was thrown, and where: for what is a bug.
 *
 * Places in a bundle are given as those of its sources, by the source map beside it. That is read only here: kept at hand,
 * as --enable-source-maps does, it takes 13 MB of an agent that may never need it.
 */
export function errorTrace(thrown: unknown): string {
  return thrown instanceof Error ? nameSources(thrown.stack ?? thrown.message) : String(thrown);
}

const PLACE = /(?:file:\/\/)?(\/[^():\n]+\.mjs):(\d+):(\d+)/g;

function nameSources(trace: string): string {
  const maps = new Map<string, SourceMap | undefined>();
  return trace.replace(PLACE, (place: string, file: string, line: string, column: string) => {
    if (!maps.has(file)) maps.set(file, readSourceMap(file));
    const origin = maps.get(file)?.findOrigin(Number(line), Number(column));
    if (origin === undefined || !('fileName' in origin)) return place;
    // A bundle lies two folders deep in the clone or the image, and its sources are named from there.
    const source = relative(join(dirname(file), '../..'), join(dirname(file), origin.fileName));
    return `${source}:${origin.lineNumber}:${origin.columnNumber}`;
  });
}

// A trace is told in any case; without its map it names the bundle.
function readSourceMap(file: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMapPayload);
  } catch {
    return undefined;
  }
}
