// SPDX-License-Identifier: Apache-2.0
//
// Makes of src/, and of the npm packages that it uses, the program that operators run: build/bundle/groundwire.mjs, and
// beside it a piece for what some commands share, each with its source map. A command loads its own pieces only.
// docs/adr/0018 tells why, and what each choice here saves. Names are kept: a trace can be read without the maps too.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** Relative to the root; two folders deep like each file of src/ that names another by its place. */
const BUNDLE = 'build/bundle';

/** What starts first: from then on Node keeps what V8 has compiled, and takes it from there the next time. */
const STARTER = `// SPDX-License-Identifier: Apache-2.0
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
enableCompileCache(join(import.meta.dirname, 'compiled'));
await import('./main.mjs');
`;

/** Packages that are CommonJS ask for Node's own modules by `require`. */
const BANNER = 'import{createRequire as bundleRequire}from"node:module";const require=bundleRequire(import.meta.url);';

/**
 * Takes Node's own modules as they are, not by `import`: that reads every name that a module exports, and one name of
 * node:http loads an HTTP client that takes 12 MB.
 */
const builtins: Plugin = {
  name: 'builtins',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'require-call' ? { path, external: true } : { path, namespace: 'builtin' },
    );
    bundler.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/** Bundles the program whose sources are below `root`. */
async function bundle(root: string): Promise<void> {
  const directory = join(root, BUNDLE);
  const begun = new Date();
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: ['src/main.ts'],
    outdir: BUNDLE,
    outExtension: { '.js': '.mjs' },
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'linked',
    banner: { js: BANNER },
    plugins: [builtins],
    logLevel: 'warning',
  });
  const starter = join(directory, 'groundwire.mjs');
  writeFileSync(starter, STARTER);
  // As old as the start of the build: bin/groundwire runs the sources when one is newer.
  utimesSync(starter, begun, begun);
}

/** Loads each long-lived command once, so that what V8 compiles for it is kept. */
function compile(root: string): void {
  for (const command of ['agent', 'control', 'up']) {
    execFileSync(join(root, 'bin/groundwire'), [command, '--help'], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
}

const root = join(import.meta.dirname, '..');
await bundle(root);
compile(root);
