// SPDX-License-Identifier: Apache-2.0

// Where the engine of a node pins its kernel state: <bpffs>/groundwire/<node>/v<version of their layout>.

import { dirname, join } from 'node:path';

import { SettingError } from '../config/setting-error.ts';
import { MESH_ABI_VERSION } from '../engine/layout.gen.ts';
import { listIfThere } from '../host/if-there.ts';

/** Only a name; nothing is made. A bpf file system reserves dots in names, and names of nodes have them, but no plus. */
export function pinDirectoryOf(bpffs: string, node: string, version = MESH_ABI_VERSION): string {
  return join(bpffs, 'groundwire', node.replaceAll('.', '+'), `v${version}`);
}

/**
 * Refuses a node on which an agent with another layout has left its pins: they hold its pods captured, and only an agent
 * that knows them can let these go. Throws `SettingError`.
 */
export async function refuseOtherPins(bpffs: string, node: string, version = MESH_ABI_VERSION): Promise<void> {
  const ours = pinDirectoryOf(bpffs, node, version);
  const directory = dirname(ours);
  const others = (await listIfThere(directory)).filter((name) => /^v\d+$/.test(name) && join(directory, name) !== ours);
  if (others.length === 0) return;
  throw new SettingError(
    {
      flag: 'bpffs',
      value: bpffs,
      tried: 'used',
      hint: 'end its pods with the agent of that version, or remove the directory, which ends their capture',
    },
    new Error(
      `an agent of node ${node} with another layout of pins has left ${others.map((name) => join(directory, name)).join(', ')}; this one makes v${version}`,
    ),
  );
}
