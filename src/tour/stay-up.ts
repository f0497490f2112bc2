// SPDX-License-Identifier: Apache-2.0

import { join, relative } from 'node:path';
import { run, sleep } from './shell.ts';
import { labelledNamespaces, type Shop } from './shop.ts';
import { GROUNDWIRE } from './two-node-mesh.ts';

const REFRESH_MS = 2000;

function suggestions(shop: Shop): string {
  const { mesh } = shop;
  const groundwire = relative(process.cwd(), GROUNDWIRE);
  const { a, b } = mesh.nodes;
  const pod = `${groundwire} run --node ${a.name} --namespace shop --service-account client --name try --`;
  const policy = join(mesh.manifests, 'try.yaml');
  return `The mesh is up. In another terminal, as root, in ${process.cwd()}:

  what it knows      ${groundwire} workloads --node ${a.name}
  what it carries    ${groundwire} connections --node ${b.name}
  who is who         ${groundwire} certificates --node ${a.name}
  a pod of your own  ${pod} curl -s http://web/
  the wire itself    nsenter --net=/run/netns/${a.netns} tcpdump -ni ${a.device} -c 20 tcp
  close the shop     cp src/tour/policies/no-client.yaml ${policy}
                     ${pod} curl -s -m 3 http://web/
  open it again      rm ${policy}

  Ctrl-C takes everything away.
`;
}

/** Labels the shop again, says what to try, and prints the live status until `stopped`. */
export async function stayUp(shop: Shop, stopped: AbortSignal): Promise<void> {
  shop.mesh.writeManifest('namespaces.yaml', labelledNamespaces(true));
  process.stdout.write(`\n${suggestions(shop)}\n`);
  let last = '';
  while (!stopped.aborted) {
    const texts = [];
    for (const node of [shop.mesh.nodes.a, shop.mesh.nodes.b]) {
      const status = await run([GROUNDWIRE, 'status', '--node', node.name]);
      texts.push(status.code === 0 ? status.stdout.trimEnd() : `${node.name}: ${status.stderr.trim()}`);
    }
    const text = texts.join('\n');
    if (text !== last && !stopped.aborted) {
      process.stdout.write(`${new Date().toLocaleTimeString()}\n${text}\n\n`);
      last = text;
    }
    await sleep(REFRESH_MS);
  }
}
