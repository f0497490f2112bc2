// SPDX-License-Identifier: Apache-2.0

// A tour that loses who watches it, or a part of itself.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { claimMachine } from '../../src/harness/claim.ts';
import { listRemains, meshNames, sweep } from '../../src/harness/remains.ts';
import { until } from '../../src/harness/shell.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const TOUR = fileURLToPath(new URL('../../src/tour/main.ts', import.meta.url));
const ARGS = [TOUR, '--once'];
const NAMES = meshNames('tour');

/** Waits until the process says that; returns all that it has said then, and says more as it comes. */
async function untilSaid(process: ChildProcess, what: RegExp, timeoutMs = 90_000): Promise<() => string> {
  let said = '';
  process.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(`it says ${what}`, () => (what.test(said) ? true : undefined), timeoutMs);
  return () => said;
}

/** Waits for the tour to go, which is when its claim is free, and looks for what is left then. */
async function untilGoneWhole(): Promise<void> {
  const claim = await until('the tour has ended', () => claimMachine('tour'), 90_000, 500);
  claim.release();
  assert.deepEqual(listRemains(NAMES), []);
}

describe('a tour', { skip: WITHOUT_ROOT }, () => {
  after(() => sweep(NAMES));

  it('cleans up when its terminal closes', async () => {
    // The terminal is `script`'s, gone with it as a closed window is: SIGHUP for who is in it, then EIO for who writes.
    const command = [process.execPath, ...ARGS].join(' ');
    const terminal = spawn('script', ['-qefc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    await untilSaid(terminal, /ok +\(1\)/);
    terminal.kill('SIGKILL');
    await untilGoneWhole();
  });

  it('cleans up when the pipe that it writes to is closed', async () => {
    const tour = spawn(process.execPath, ARGS, { stdio: ['ignore', 'pipe', 'inherit'] });
    await untilSaid(tour, /ok +\(1\)/);
    tour.stdout.destroy();
    await untilGoneWhole();
  });

  it('names a part that was killed, and how to start it again', async () => {
    const tour = spawn(process.execPath, ARGS, { stdio: ['ignore', 'pipe', 'inherit'] });
    const said = await untilSaid(tour, /ok +\(1\)/);
    const { pid } = JSON.parse(readFileSync('/run/groundwire/tour-b/agent.lock', 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    await until('it says so', () => (said().includes('tour-b is gone') ? true : undefined), 90_000);
    tour.kill('SIGTERM');
    await once(tour, 'close');
    assert.match(said(), /^ +the agent of tour-b is gone: killed by SIGKILL\. .* Start it again: nsenter .* agent /m);
    assert.match(said(), /^cleaned up: /m);
  });
});
