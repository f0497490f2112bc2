// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listRemains, meshNames, sweep } from '../../src/harness/remains.ts';
import { run, start, until } from '../../src/harness/shell.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

const TOUR = fileURLToPath(new URL('../../src/tour/main.ts', import.meta.url));
const COMMAND: [string, ...string[]] = [process.execPath, TOUR, '--once'];

describe('a tour that is killed', { skip: WITHOUT_ROOT }, () => {
  it('leaves nothing that the next one does not take away, and a second one at a time is told who is there', async () => {
    const names = meshNames('tour');
    const directory = mkdtempSync(join(tmpdir(), 'groundwire-'));
    try {
      const tour = start(COMMAND, join(directory, 'tour.log'));
      await until('pods are captured', () => (tour.log().includes('(2)') ? true : undefined), 60_000);

      const second = await run(COMMAND);
      assert.equal(second.code, 1);
      assert.match(second.stderr, new RegExp(`already running .*process ${tour.child.pid}`));

      assert.notDeepEqual(listRemains(names), []);
      tour.child.kill('SIGKILL');
      await tour.ended;
      assert.deepEqual(await sweep(names), []);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
