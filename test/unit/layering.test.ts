// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

/** Who may import whom: only what is further up in this table, and one's own folder. */
const LAYERS: readonly (readonly string[])[] = [
  ['model'],
  ['config', 'host', 'mesh', 'objects', 'telemetry', 'wire'],
  ['manifests', 'compile'],
  ['engine', 'discovery', 'identity', 'kubernetes'],
  ['node', 'cluster'],
  ['pods'],
  ['dialogue'],
  ['api'],
  ['harness'],
  ['agent.ts', 'agent', 'control.ts', 'control', 'commands', 'main.ts', 'tour'],
];

/** What only some places may touch: a pattern of source text, and the paths behind whose door it is. */
interface Door {
  readonly what: string;
  readonly pattern: RegExp;
  readonly behind: RegExp;
  /** Files that go round the door, each with its reason. */
  readonly except?: Readonly<Record<string, string>>;
}

const DOORS: readonly Door[] = [
  { what: '@grpc/grpc-js', pattern: /'@grpc\/grpc-js'/, behind: /^src\/(discovery|identity)\// },
  { what: 'wire/', pattern: /'(?:\.\.|#src)\/wire\//, behind: /^src\/(discovery|identity)\// },
  { what: 'prom-client', pattern: /'prom-client'/, behind: /^src\/telemetry\// },
  { what: 'the .node file', pattern: /\.node['"`]/, behind: /^src\/engine\// },
  { what: 'process.env', pattern: /\bprocess\.env\b|\benv\b.*from 'node:process'/, behind: /^src\/config\// },
  {
    what: 'the time of the machine',
    pattern: /(?<![.#\w])(?:set|clear)(?:Timeout|Interval|Immediate)\(|\bperformance\.|\bDate\.now\b|'node:timers/,
    behind: /^src\/(model\/clock\.ts$|tour\/|harness\/)/,
    except: {
      'src/commands/run.ts': 'the pause before a pod is held again, in a process that does nothing else',
      'src/engine/fake-engine.ts': 'one turn of the event loop, whatever the time',
      'src/host/journal.ts': 'one turn of the event loop after each slice that it writes',
      'src/manifests/directory-source.ts': 'the pause in which changes of real files gather',
      'src/node/cgroup.ts': 'asks the kernel again until it has let go of a process that was killed',
    },
  },
  { what: 'process.exit', pattern: /\bprocess\.exit\(/, behind: /^src\/main\.ts$/ },
];

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g;

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');
}

function partOf(path: string): string {
  return path.split('/')[1] ?? '';
}

function layerOf(part: string): number {
  return LAYERS.findIndex((parts) => parts.includes(part));
}

/** The repository path that a specifier of ours names; undefined for a package or a builtin. */
function target(path: string, specifier: string): string | undefined {
  if (specifier.startsWith('#src/')) return `src/${specifier.slice('#src/'.length)}`;
  return specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : undefined;
}

function importOffence(path: string, specifier: string): string | undefined {
  const from = partOf(path);
  if (from === 'model' && specifier.startsWith('node:') && specifier !== 'node:net') {
    return `${path} imports ${specifier}: the model is pure, node:net alone is allowed`;
  }
  const to = target(path, specifier);
  if (to === undefined) return undefined;
  if (!to.startsWith('src/')) return `${path} imports ${to}: src/ stands on its own`;
  const part = partOf(to);
  // The composition roots are one layer and wire each other up.
  const top = LAYERS.length - 1;
  if (part === from || (layerOf(from) === top && layerOf(part) >= 0)) return undefined;
  if (layerOf(part) >= 0 && layerOf(part) < layerOf(from)) return undefined;
  return `${path} (layer ${layerOf(from)}) imports ${to} (layer ${layerOf(part)}): imports point down`;
}

/** Every breach of the tables above in these files (path → text), each naming its file. */
function findOffences(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) => {
    const code = withoutComments(text);
    const unplaced = layerOf(partOf(path)) < 0 ? [`${path}: no layer names "${partOf(path)}"`] : [];
    const imports = Array.from(code.matchAll(IMPORT), ([, specifier = '']) => importOffence(path, specifier));
    const doors = DOORS.filter(
      ({ pattern, behind, except = {} }) => pattern.test(code) !== Object.hasOwn(except, path) && !behind.test(path),
    );
    return [
      ...unplaced,
      ...imports.filter((offence) => offence !== undefined),
      ...doors.map(({ what, pattern }) =>
        pattern.test(code)
          ? `${path} uses ${what}, which is behind another door`
          : `${path} is excepted from the door of ${what} and does not use it`,
      ),
    ];
  });
}

function sources(pattern: string): Map<string, string> {
  const paths = globSync(pattern, { cwd: root });
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

test('layering: imports of src/ point down and every door is held', () => {
  const files = sources('src/**/*.ts');
  assert.ok(files.size > 0);
  assert.deepEqual(findOffences(files), []);
});

test('layering: an upward, a sideways and an unplaced import are each named', () => {
  const offences = findOffences(
    new Map([
      ['src/mesh/a.ts', "import { x } from '../engine/index.ts';"],
      ['src/telemetry/b.ts', "export * from '../mesh/view.ts';"],
      ['src/model/c.ts', "import { readFileSync } from 'node:fs';"],
      ['src/utils/d.ts', 'export {};'],
      ['src/api/e.ts', "const x = await import('../agent.ts');"],
    ]),
  );
  assert.deepEqual(
    offences.map((offence) => offence.split(/[ :]/)[0]),
    ['src/mesh/a.ts', 'src/telemetry/b.ts', 'src/model/c.ts', 'src/utils/d.ts', 'src/api/e.ts'],
  );
});

test('layering: each door refuses a stranger', () => {
  const strangers = new Map([
    ['src/api/a.ts', "import grpc from '@grpc/grpc-js';"],
    ['src/api/b.ts', "import { Registry } from 'prom-client';"],
    ['src/pods/c.ts', "require('../../build/Release/groundwire.node')"],
    ['src/api/d.ts', 'const home = process.env.HOME;'],
    ['src/commands/e.ts', 'process.exit(1);'],
    ['src/api/g.ts', 'const readMs = performance.now();'],
    ['src/api/h.ts', 'const nowMs = Date.now();'],
    ['src/api/i.ts', 'setTimeout(run, 1);'],
    ['src/api/j.ts', "import { setTimeout as sleep } from 'node:timers/promises';"],
    ['src/node/cgroup.ts', 'export {};'],
  ]);
  assert.equal(findOffences(strangers).length, strangers.size);
  assert.deepEqual(findOffences(new Map([['src/api/f.ts', '// The only process.exit( is in main.ts.']])), []);
  assert.deepEqual(findOffences(new Map([['src/api/k.ts', 'request.setTimeout(5); clock.setTimer(5, run);']])), []);
});

/** The rooms of native/core: each includes only itself and those before it. */
const ROOMS = [
  'base',
  'port',
  'io',
  'kernel',
  'capture',
  'tls',
  'verdicts',
  'flows',
  'http2',
  'hbone',
  'relay',
  'dns',
  'connection',
  'engine',
] as const;

/** What the rooms may include of what is no room: the header that they share with the kernel programs. */
const SHARED_HEADERS: readonly string[] = ['mesh_abi.h'];

function includeOffence(path: string, included: string): string | undefined {
  if (SHARED_HEADERS.includes(included)) return undefined;
  const rooms: readonly string[] = ROOMS;
  const [from = -1, to = -1] = [path.split('/')[2] ?? '', included.split('/')[0] ?? ''].map((room) =>
    rooms.indexOf(room),
  );
  if (from < 0) return `${path}: lies in no room`;
  if (to < 0) return `${path} includes ${included}: that is in no room`;
  return to > from ? `${path} includes ${included}: ${rooms[to]} comes after ${rooms[from]}` : undefined;
}

/** Every include of these files of native/core (path → text) that is against the order of the rooms. */
function findIncludeOffences(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) =>
    Array.from(text.matchAll(/^#include "([^"]+)"/gm), ([, included = '']) => includeOffence(path, included)).filter(
      (offence) => offence !== undefined,
    ),
  );
}

test('layering: a room of native/core includes only earlier ones', () => {
  const files = sources('native/core/**/*.{h,cc}');
  assert.ok(files.size > 100);
  assert.deepEqual(findIncludeOffences(files), []);
});

test('layering: an include of a later room, of none and from none are each named', () => {
  const offences = findIncludeOffences(
    new Map([
      ['native/core/tls/a.h', '#include "hbone/tunnel_pool.h"'],
      ['native/core/connection/b.cc', '#include "engine/worker.h"'],
      ['native/core/http2/f.cc', '#include "hbone/hbone_request.h"'],
      ['native/core/io/c.cc', '#include "c.h"'],
      ['native/core/d.cc', '#include "base/status.h"'],
      ['native/core/kernel/e.cc', '#include "mesh_abi.h"\n#include "kernel/netns.h"\n#include <string>'],
    ]),
  );
  assert.deepEqual(
    offences.map((offence) => offence.split(/[ :]/)[0]),
    [
      'native/core/tls/a.h',
      'native/core/connection/b.cc',
      'native/core/http2/f.cc',
      'native/core/io/c.cc',
      'native/core/d.cc',
    ],
  );
});

test('layering: core knows nothing of Node, bpf nothing of native', () => {
  const offenders = (pattern: string, forbidden: RegExp): string[] =>
    [...sources(pattern)].filter(([, text]) => forbidden.test(text)).map(([path]) => path);
  assert.ok(sources('native/core/*/*.{h,cc}').size > 0);
  assert.deepEqual(
    offenders('native/core/*/*.{h,cc}', /#include\s+["<](napi|node_api|node|uv|v8)\.h|\.\.\/binding/),
    [],
  );
  assert.deepEqual(offenders('bpf/**/*.{h,c}', /#include\s+".*native\//), []);
});
