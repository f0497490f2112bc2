// SPDX-License-Identifier: Apache-2.0
//
// engine-holder.ts HOW OPTIONS: opens an engine in a process or Worker of its own and ends as HOW says.
import { parentPort } from 'node:worker_threads';
import { loadAddon } from '#src/engine/addon.ts';
import { type EngineOptions, KernelError, NativeEngine } from '#src/engine/index.ts';
import { encodeEngineOptions } from '#src/engine/messages.gen.ts';

const [how = '', options = ''] = process.argv.slice(2);
const parsed = JSON.parse(options) as EngineOptions;
const engine = NativeEngine.open(parsed);
await engine.apply([{ kind: 'SetPeers', peers: [] }]);
parentPort?.postMessage('open');

switch (how) {
  case 'close':
    await engine.close();
    break;
  case 'exit':
    process.exit(7);
    break;
  case 'throw-quietly':
    process.on('uncaughtException', () => process.exit(3));
    setImmediate(() => {
      throw new Error('thrown on purpose');
    });
    break;
  case 'throw-in-listener': {
    process.on('uncaughtException', () => process.exit(4));
    // The addon itself: its acknowledgement of a batch is the one event that needs no pod.
    const addon = loadAddon();
    const handle = addon.open(
      encodeEngineOptions({ ...parsed, pinDirectory: `${parsed.pinDirectory}-listener` }),
      KernelError,
    );
    addon.subscribe(handle, () => {
      throw new Error('thrown on purpose');
    });
    addon.apply(handle, 1n, new Uint8Array(4));
    break;
  }
  case 'kill':
    process.kill(process.pid, 'SIGKILL');
    break;
  case 'stay':
    break;
  default:
    throw new Error(`unknown way to end: "${how}"`);
}
