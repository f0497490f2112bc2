// SPDX-License-Identifier: Apache-2.0

// The tour with a visitor at the keyboard: what `npm start` runs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listRemains, meshNames, sweep } from '../../src/harness/remains.ts';
import { run, until } from '../../src/harness/shell.ts';
import { GROUNDWIRE } from '../../src/harness/two-node-mesh.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const TOUR = fileURLToPath(new URL('../../src/tour/main.ts', import.meta.url));
const NAMES = meshNames('tour');

describe('a tour at a terminal', { skip: WITHOUT_ROOT }, () => {
  after(() => sweep(NAMES));

  it('stays up with its live status, says what to try, and cleans up at Ctrl-C', async () => {
    // `exec`: a shell that stays between would take the key's signal as well, and end with 130 whatever the tour says.
    const terminal = spawn('script', ['-qefc', ['exec', process.execPath, TOUR].join(' '), '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let said = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = once(terminal, 'close') as Promise<[number | null]>;
    await until(
      'it stays up and shows the status',
      () => {
        if (terminal.exitCode !== null) throw new Error(`it has ended:\n${said}`);
        return /groundwire run --node tour-a [^]*Ctrl-C takes everything away[^]*tour-b/.test(said) ? true : undefined;
      },
      240_000,
    );
    assert.equal((await run([GROUNDWIRE, 'status', '--node', 'tour-a'])).code, 0);
    // The key's byte, of which the terminal makes a signal for all who are in it.
    terminal.stdin.write('\x03');
    const [code] = await ended;
    assert.match(said, /cleaned up: no namespace/);
    assert.equal(code, /^FAILED/m.test(said) ? 1 : 0, said);
    assert.deepEqual(listRemains(NAMES), []);
  });
});
