// SPDX-License-Identifier: Apache-2.0
import { type GeneratedFile, generatedHeader } from './generated-file.ts';

/** Value of `#define NAME <integer or product of integers and earlier names>`. */
function evaluate(expression: string, known: ReadonlyMap<string, number>): number {
  const factors = expression
    .replace(/[()]/g, '')
    .split('*')
    .map((factor) => factor.trim());
  return factors.reduce((product, factor) => {
    const value = known.get(factor) ?? Number(factor);
    if (!Number.isInteger(value)) throw new Error(`bpf/mesh_abi.h: cannot evaluate "${expression}"`);
    return product * value;
  }, 1);
}

/** `MESH_POD_ADDRESSES_MAX` → `podAddressesMax`. */
function camelCase(name: string): string {
  return name
    .toLowerCase()
    .replace(/^mesh_/, '')
    .replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

/** `src/engine/layout.gen.ts`: version and limits of `bpf/mesh_abi.h`, whose text is given. */
export function generateLayout(header: string): GeneratedFile {
  const known = new Map<string, number>();
  for (const [, name = '', expression = ''] of header.matchAll(
    /^#define (MESH_(?:ABI_VERSION|\w+_MAX|\w+_BYTES)) (.+)$/gm,
  )) {
    known.set(name, evaluate(expression, known));
  }
  const version = known.get('MESH_ABI_VERSION');
  if (version === undefined) throw new Error('bpf/mesh_abi.h: no MESH_ABI_VERSION in it');
  const limits = Array.from(known).filter(([name]) => name !== 'MESH_ABI_VERSION');
  const content =
    `${generatedHeader('bpf/mesh_abi.h')}\n/** Version of the pinned maps. */\nexport const MESH_ABI_VERSION = ${version};\n\n` +
    `/** Sizes of the kernel's tables. */\nexport const MESH_LIMITS = {\n${limits.map(([name, value]) => `  ${camelCase(name)}: ${value},\n`).join('')}} as const;\n`;
  return { path: 'src/engine/layout.gen.ts', content };
}
