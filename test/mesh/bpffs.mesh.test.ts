// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { run } from '../../src/harness/shell.ts';
import { mountsOf } from '../../src/host/mounts.ts';
import { mountBpffs } from '../../src/node/bpffs.ts';
import { WITHOUT_ROOT } from '../helpers/test-mesh.ts';

describe('a BPF file system', { skip: WITHOUT_ROOT }, () => {
  it('is mounted once by agents that start together', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'groundwire-bpffs-'));
    const mounts = () => mountsOf('bpf').filter((mount) => mount === directory).length;
    try {
      await Promise.all(Array.from({ length: 8 }, () => mountBpffs(directory)));
      assert.equal(mounts(), 1);
    } finally {
      while (mounts() > 0 && (await run(['umount', directory])).code === 0);
      rmdirSync(directory);
    }
  });
});
