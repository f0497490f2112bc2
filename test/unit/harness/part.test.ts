// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeEnd, type Part } from '#src/harness/part.ts';

const RUNS: Part['child'] = { exitCode: null, signalCode: null };

function part(kind: Part['kind'], name: string, child: Part['child']): Part {
  return { kind, name, command: ['groundwire', 'run', "it's", '--label', 'a=b'], child };
}

test('a part that runs is not told of', () => {
  for (const kind of ['control plane', 'agent', 'pod'] as const) {
    assert.equal(describeEnd(part(kind, 'x', RUNS)), undefined);
  }
});

test('each part that ended is told by its name, with how it ended, what follows and a command to paste', () => {
  const killed: Part['child'] = { exitCode: null, signalCode: 'SIGKILL' };
  for (const [one, says] of [
    [part('control plane', '', killed), /^the control plane is gone: killed by SIGKILL\. Traffic goes on/],
    [part('agent', 'tour-a', killed), /^the agent of tour-a is gone: killed by SIGKILL\. The pods .* no network until/],
    [part('agent', 'tour-a', { exitCode: 75, signalCode: null }), /tour-a is gone: ended with status 75\./],
    // `groundwire run` gives the status of the program as its own, counted as a shell does.
    [part('pod', 'shop/web', { exitCode: 137, signalCode: null }), /^pod shop\/web ended: killed by SIGKILL\./],
    [part('pod', 'shop/web', { exitCode: 0, signalCode: null }), /^pod shop\/web ended: ended with status 0\./],
    [part('pod', 'shop/web', killed), /^pod shop\/web ended: `groundwire run`, which held it, was killed by SIGKILL\./],
  ] as const) {
    const told = describeEnd(one) ?? '';
    assert.match(told, says);
    assert.match(told, /Start it again: groundwire run 'it'\\''s' --label a=b$/);
  }
});
