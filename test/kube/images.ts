// SPDX-License-Identifier: Apache-2.0

// The images that the cluster's pods run: made of this machine's own programs.

import {
  cpSync,
  globSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { must } from '#src/harness/shell.ts';
import { add, addPrograms, packImage } from './image.ts';

export const PAUSE_IMAGE = 'groundwire.test/pause:1';
export const TOOLS_IMAGE = 'groundwire.test/tools:1';

const PAUSE = '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n';
const BUSYBOX = '/bin/busybox';

/** The sandbox of a pod: a program that waits. */
export async function packPause(directory: string): Promise<string> {
  const root = fresh(directory, 'pause');
  writeFileSync(join(directory, 'pause.c'), PAUSE);
  await must(['gcc', '-O2', '-static', '-o', join(root, 'pause'), join(directory, 'pause.c')]);
  const archive = join(directory, 'pause.tar');
  await packImage({ name: PAUSE_IMAGE, entrypoint: ['/pause'] }, root, archive);
  return archive;
}

/** What pods of the tests run: a shell with busybox, curl, nginx and redis. */
export async function packTools(directory: string): Promise<string> {
  const root = fresh(directory, 'tools');
  for (const name of ['bin', 'tmp', 'etc', 'var/log/nginx', 'var/lib/nginx', 'run', 'usr/lib'])
    mkdirSync(join(root, name), { recursive: true });
  add(root, BUSYBOX);
  const applets = (await must([BUSYBOX, '--list'])).split('\n').filter((name) => name !== '' && name !== 'busybox');
  for (const name of applets) if (!existsSync(join(root, 'bin', name))) symlinkSync('busybox', join(root, 'bin', name));
  await addPrograms(root, ['/usr/bin/curl', '/usr/sbin/nginx', '/usr/bin/redis-server', '/usr/bin/redis-cli']);
  // Names are resolved by libraries that no program names.
  for (const library of ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2']) {
    const path = `/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/${library}`;
    if (existsSync(path)) add(root, path);
  }
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  const archive = join(directory, 'tools.tar');
  await packImage({ name: TOOLS_IMAGE, entrypoint: ['/bin/sh', '-c'] }, root, archive);
  return archive;
}

function fresh(directory: string, name: string): string {
  const root = join(directory, name);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  return root;
}

export const GROUNDWIRE_IMAGE = 'groundwire:0.1.0';

/** The project's image: what the last stage of daemonset/Dockerfile says, of this clone's build and this machine's packages. */
export async function packGroundwire(repository: string, directory: string): Promise<string> {
  const root = fresh(directory, 'groundwire');
  const dockerfile = readFileSync(join(repository, 'daemonset/Dockerfile'), 'utf8');
  const stage = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
  const packages =
    /install -y --no-install-recommends ([^&]+)&&/
      .exec(stage)?.[1]
      ?.split(/[\s\\]+/)
      .filter(Boolean) ?? [];
  await addPackages(root, [...BASE_PACKAGES, ...packages]);
  for (const [, from = '', to = ''] of stage.matchAll(/^COPY --from=build \/opt\/groundwire\/(\S+) (\S+)$/gm))
    for (const path of globSync(from, { cwd: repository }))
      cpSync(join(repository, path), join(root, to), { recursive: true, verbatimSymlinks: true });
  for (const name of ['proc', 'sys', 'dev', 'run', 'tmp', 'var/lib/groundwire'])
    mkdirSync(join(root, name), { recursive: true });
  const [, entrypoint = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(stage) ?? [];
  const archive = join(directory, 'groundwire.tar');
  await packImage({ name: GROUNDWIRE_IMAGE, entrypoint: JSON.parse(entrypoint) as string[] }, root, archive);
  return archive;
}

// What `FROM debian:12-slim` brings of what we use.
const BASE_PACKAGES = ['base-files', 'dash', 'coreutils', 'libc6', 'libgcc-s1', 'sed', 'grep'];

/** The files of installed packages, and the libraries that their programs load. */
async function addPackages(root: string, packages: readonly string[]): Promise<void> {
  const listed = await must(['dpkg', '-L', ...packages]);
  const files = listed
    .split('\n')
    .filter((path) => path.startsWith('/') && !/^\/usr\/share\/(doc|man|locale|info|lintian)\//.test(path));
  const programs = files.filter(
    (path) => /^\/(usr\/)?s?bin\//.test(path) && existsSync(path) && statSync(path).isFile(),
  );
  for (const path of files)
    if (existsSync(path) && statSync(path).isFile())
      add(root, path, path.replace(/^\/(bin|sbin|lib|lib64)\//, '/usr/$1/'));
  // As on Debian: one tree, and links where it used to be two.
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  await addPrograms(root, programs);
}
