// SPDX-License-Identifier: Apache-2.0

import { join, relative } from 'node:path';
import { run, sleep } from '../harness/shell.ts';
import { GROUNDWIRE } from '../harness/two-node-mesh.ts';
import { AMBIENT_LABEL, labelledNamespaces, type Shop } from './shop.ts';

const REFRESH_MS = 2000;

/** Something to try while the mesh is up: shell commands that run one after another. */
export interface Suggestion {
  readonly what: string;
  readonly commands: readonly string[];
}

/** What a visitor may try in another terminal; every command ends on its own. */
export function suggestionsFor(mesh: Shop['mesh']): readonly Suggestion[] {
  const groundwire = relative(process.cwd(), GROUNDWIRE);
  const { a, b } = mesh.nodes;
  const pod = (name: string): string =>
    `${groundwire} run --node ${a.name} --namespace shop --service-account client --name ${name} --`;
  const policy = join(mesh.manifests, 'try.yaml');
  const namespaces = join(mesh.manifests, 'namespaces.yaml');
  return [
    { what: 'what it knows', commands: [`${groundwire} workloads --node ${a.name}`] },
    {
      what: 'what it carries',
      commands: [
        `${pod('slow')} timeout 15 curl -sS -o /dev/null http://web/slow/file &`,
        `sleep 5; ${groundwire} connections --node ${b.name}`,
      ],
    },
    { what: 'who is who', commands: [`${groundwire} certificates --node ${a.name}`] },
    { what: 'a pod of your own', commands: [`${pod('try')} curl -sS http://web/`] },
    {
      what: 'the wire itself',
      commands: [
        `(sleep 2; ${pod('try')} curl -sS http://web/) &`,
        `nsenter --net=/run/netns/${a.netns} timeout 30 tcpdump -ni ${a.device} -c 6 tcp port 15008`,
      ],
    },
    {
      what: 'close the shop',
      commands: [
        `cp src/tour/policies/no-client.yaml ${policy}; sleep 1`,
        `${pod('try')} curl -sS -m 3 http://web/ || echo refused`,
      ],
    },
    { what: 'open it again', commands: [`rm ${policy}`] },
    { what: 'release the pods', commands: [`cp src/tour/manifests/namespaces.yaml ${namespaces}`] },
    {
      what: 'capture them again',
      commands: [
        `sed -E 's,name: (shop|guests)$,&\\n  labels: { ${AMBIENT_LABEL} },' src/tour/manifests/namespaces.yaml >${namespaces}`,
      ],
    },
  ];
}

function renderSuggestions(suggestions: readonly Suggestion[]): string {
  const width = Math.max(...suggestions.map(({ what }) => what.length)) + 2;
  const lines = suggestions.flatMap(({ what, commands }) =>
    commands.map((command, i) => `  ${(i === 0 ? what : '').padEnd(width)}${command}`),
  );
  return `The mesh is up. In another terminal, as root, in ${process.cwd()}:

${lines.join('\n')}

  Ctrl-C takes everything away.
`;
}

/** Labels the shop again, says what to try, and tells the live status, and what ended, until `stopped`. */
export async function stayUp(shop: Shop, stopped: AbortSignal, say: (text: string) => void): Promise<void> {
  const { mesh } = shop;
  mesh.writeManifest('namespaces.yaml', labelledNamespaces(true));
  say(`
The last check took the label ${AMBIENT_LABEL} away from shop and guests, and their pods were released.
It is set again now, and they are captured again; the last two commands below do both by hand.
`);
  say(renderSuggestions(suggestionsFor(mesh)));
  let last = '';
  while (!stopped.aborted) {
    const ends = mesh.newEnds();
    const texts = [];
    for (const node of [mesh.nodes.a, mesh.nodes.b]) {
      const status = await run([GROUNDWIRE, 'status', '--node', node.name]);
      // An agent that is not ready answers, and the command ends with 1.
      texts.push(status.stdout.trimEnd() || `${node.name}: ${status.stderr.trim()}`);
    }
    const text = texts.join('\n');
    if ((text !== last || ends.length > 0) && !stopped.aborted) {
      say(`${[new Date().toLocaleTimeString(), ...ends, text].join('\n')}\n`);
      last = text;
    }
    await sleep(REFRESH_MS);
  }
}
