// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { run } from '../../src/harness/shell.ts';
import { mountsOf } from '../../src/host/mounts.ts';
import { mountBpffs } from '../../src/node/bpffs.ts';
import { pinDirectoryOf, refuseOtherPins } from '../../src/node/pins.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

describe('a BPF file system', { skip: WITHOUT_ROOT }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'groundwire-bpffs-'));
  const mounts = () => mountsOf('bpf').filter((mount) => mount === directory).length;
  after(async () => {
    while (mounts() > 0 && (await run(['umount', directory])).code === 0);
    rmdirSync(directory);
  });

  it('is mounted once by agents that start together', async () => {
    await Promise.all(Array.from({ length: 8 }, () => mountBpffs(directory)));
    assert.equal(mounts(), 1);
  });

  it('takes the pins of a node whose name has dots', async () => {
    mkdirSync(pinDirectoryOf(directory, 'node.example.com'), { recursive: true });
    await refuseOtherPins(directory, 'node.example.com');
  });
});
