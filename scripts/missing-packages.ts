// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, existsSync, globSync } from 'node:fs';
import { join } from 'node:path';

function isProgram(name: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function isPresent(sign: string): boolean {
  if (!sign.startsWith('/')) return isProgram(sign);
  return sign.includes('*') ? globSync(sign).length > 0 : existsSync(sign);
}

/**
 * The packages of `scripts/setup-packages` that `purpose` needs and this machine lacks.
 *
 * `table` is that file's text; where it names alternatives the first is returned.
 */
export function missingPackages(purpose: string, table: string): string[] {
  const rows = table.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const missing = rows.flatMap((row) => {
    const [purposes = '', sign = '', packages = ''] = row.trim().split(/\s+/);
    if (!purposes.split(',').includes(purpose) || isPresent(sign)) return [];
    return packages.split('|').slice(0, 1);
  });
  return [...new Set(missing)];
}
