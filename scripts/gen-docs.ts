// SPDX-License-Identifier: Apache-2.0
import { ERROR_TABLE } from '../src/model/errors.ts';
import type { GeneratedFile } from './generated-file.ts';

const escapeCell = (text: string): string => text.replaceAll('|', '\\|');

/** `docs/errors.md`: every way a connection can fail, for the person who has to do something about it. */
export function renderErrorDocs(): GeneratedFile {
  const rows = Object.entries(ERROR_TABLE).map(([name, entry]) => {
    const status = entry.connectStatus === 0 ? '–' : String(entry.connectStatus);
    return `| \`${name}\` | ${escapeCell(entry.message)} | ${entry.level} | ${status} | \`${entry.responseFlag}\` | ${escapeCell(entry.hint)} |\n`;
  });
  const content = `<!-- Generated from src/model/errors.ts by scripts/gen.ts; edit that and run \`npm run gen\`. -->
# Errors

Each connection that failed or was refused has one of these codes: in the access log as \`error.code\`, in the metrics as
\`response_flags\`, in \`groundwire connections\`. *HBONE* is the status that the peer's CONNECT gets; where there is none, the
connection is reset.

| code | what happened | level | HBONE | response flag | what to do |
|---|---|---|---|---|---|
${rows.join('')}`;
  return { path: 'docs/errors.md', content };
}
