// SPDX-License-Identifier: Apache-2.0

import { globSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run as runTests } from 'node:test';
import { inspect } from 'node:util';
import { listOurs, newSince } from './leaks.ts';
import { addTallies, EMPTY_TALLY, single, type Tally } from './tally.ts';

/** The parts of a node:test event that are read here. */
interface TestEvent {
  readonly name: string;
  readonly file?: string;
  readonly skip?: string | boolean;
  readonly details?: { readonly type?: string; readonly error?: Error };
}

export interface NodeTestOptions {
  readonly root: string;
  readonly concurrency: number;
  /** Bound on one file. */
  readonly timeoutMs: number;
  /** True: a test that was skipped counts as failed, and says why it was skipped. */
  readonly skipsFail: boolean;
}

/** The test files below a directory, in a fixed order. */
export function testFiles(root: string, ...globs: string[]): string[] {
  return globs
    .flatMap((glob) => globSync(glob, { cwd: root }))
    .map((file) => join(root, file))
    .sort();
}

/** Runs test files, a process a file. Prints a line for each file and the whole error of each failure. */
export async function runNodeTests(files: readonly string[], options: NodeTestOptions): Promise<Tally> {
  if (files.length === 0) return EMPTY_TALLY;
  let tally = EMPTY_TALLY;
  const count = (event: TestEvent, ok: boolean) => {
    // A suite, and the file as a whole, are not tests; they fail with what is in them.
    if (event.details?.type === 'suite' && ok) return;
    const name = `${relative(options.root, event.file ?? '')}: ${event.name}`;
    const skipped = event.skip !== undefined && event.skip !== false;
    if (skipped && !options.skipsFail) {
      process.stdout.write(`  skipped  ${name} (${String(event.skip)})\n`);
      tally = addTallies([tally, { ...EMPTY_TALLY, skipped: 1 }]);
    } else if (skipped) {
      process.stdout.write(`  FAILED   ${name}: skipped where nothing may be (${String(event.skip)})\n`);
      tally = addTallies([tally, single(name, `skipped: ${String(event.skip)}`)]);
    } else if (ok) {
      tally = addTallies([tally, single(name)]);
    } else {
      const cause = event.details?.error?.cause ?? event.details?.error;
      const text = cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause);
      process.stdout.write(`  FAILED   ${name}\n${text.replace(/^/gm, '           ')}\n`);
      tally = addTallies([tally, single(name, text.split('\n')[0])]);
    }
  };
  const stream = runTests({ files: [...files], concurrency: options.concurrency, timeout: options.timeoutMs });
  stream.on('test:pass', (event) => count(event, true));
  stream.on('test:fail', (event) => count(event, false));
  stream.on('test:stderr', (event) => process.stderr.write(event.message));
  await new Promise<void>((resolve, reject) => {
    stream.once('end', resolve);
    stream.once('error', reject);
    stream.resume();
  });
  return tally;
}

/** Runs files that change the machine one by one and, after each, looks for what it left behind. */
export async function runPrivilegedTests(files: readonly string[], options: NodeTestOptions): Promise<Tally> {
  const tallies: Tally[] = [];
  for (const file of files) {
    const name = relative(options.root, file);
    process.stdout.write(`  ${name}\n`);
    const before = listOurs();
    tallies.push(await runNodeTests([file], { ...options, concurrency: 1 }));
    const left = newSince(before);
    if (left.length === 0) continue;
    process.stdout.write(`  FAILED   ${name} left behind: ${left.join(', ')}\n`);
    tallies.push(single(name, `left behind: ${left.join(', ')}`));
  }
  return addTallies(tallies);
}
