// SPDX-License-Identifier: Apache-2.0
import { ERROR_TABLE } from '../src/model/errors.ts';
import { FIELDS, type Fields } from '../src/objects/fields.ts';
import {
  type CounterHelp,
  ENGINE_COUNTERS,
  ENGINE_READINGS,
  KERNEL_COUNTERS,
  KERNEL_READINGS,
} from '../src/telemetry/engine-counters.ts';
import { AGENT_COUNTERS, CONTROL_COUNTERS } from '../src/telemetry/part-counters.ts';
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
connection is reset. Where a tunnel failed, the access log's \`error\` ends in what is known beyond the code: which certificate
expired when, whose trust domain it has, what the peer said.

| code | what happened | level | HBONE | response flag | what to do |
|---|---|---|---|---|---|
${rows.join('')}`;
  return { path: 'docs/errors.md', content };
}

const FATES = { served: 'served', elsewhere: 'for others', told: 'told' } as const;

/** `docs/fields.md`: what becomes of each field of each kind. */
export function renderFieldDocs(): GeneratedFile {
  const rows = (fields: Fields, path: string): string =>
    Object.entries(fields)
      // Of every kind alike, and told once.
      .filter(
        ([name]) => path !== '' || !['apiVersion', 'kind', 'metadata', 'status'].includes(name) || name === 'status',
      )
      .map(([name, rule]) => {
        const own = `${path}${name}`;
        const below = rule.is === 'told' || rule.of === undefined ? '' : rows(rule.of, `${own}.`);
        // Labels and the like have any name.
        const isBranch = rule.how === '' && (below !== '' || name === '*');
        return `${isBranch ? '' : `| \`${own}\` | ${FATES[rule.is]} | ${escapeCell(rule.how)} |\n`}${below}`;
      })
      .join('');
  const head = '| field | | |\n|---|---|---|\n';
  const kinds = Object.entries(FIELDS).map(([kind, { strict, fields }]) => {
    const note = strict ? 'A field of the spec that is not here, or has no value, refuses the object.\n\n' : '';
    return `## ${kind}\n\n${note}${head}${rows(fields, '')}\n`;
  });
  const content = `<!-- Generated from src/objects/fields.ts by scripts/gen.ts; edit that and run \`npm run gen\`. -->
# Fields

What becomes of each field of each kind that is served:

- *served*: it does what it says;
- *told*: it is accepted and has no effect here; the control plane's log says so, with file, line and field (FIELD_IGNORED);
- *for others*: it is of no concern to a mesh, and whoever it is for reads it.

A field that is not here is told too (FIELD_UNKNOWN), and a kind that is not here (KIND_SKIPPED); a value that cannot be used
refuses its object, and the last good version stays.

## metadata, of every kind

${head}${rows((FIELDS.Pod.fields['metadata'] as { readonly of: Fields }).of, 'metadata.')}
${kinds.join('').trimEnd()}
`;
  return { path: 'docs/fields.md', content };
}

/** `docs/counters.md`: what each counter counts, and what to do when it rises. */
export function renderCounterDocs(): GeneratedFile {
  const table = (counters: Readonly<Record<string, CounterHelp>>): string =>
    Object.entries(counters)
      .map(([name, [counts, rises]]) => `| \`${name}\` | ${escapeCell(counts)} | ${escapeCell(rises)} |\n`)
      .join('');
  const head = '| name | counts | when it rises |\n|---|---|---|\n';
  const content = `<!-- Generated from src/telemetry/{engine,part}-counters.ts by scripts/gen.ts; edit these and run \`npm run gen\`. -->
# Counters

In the metrics of an agent, \`groundwire_engine_total\` and \`groundwire_engine_level\` have the label \`name\`; \`groundwire status -o
json\` has the same in \`counters\`. What is empty in the last column is ordinary traffic.

Connections themselves are in the metrics \`istio_tcp_*\`, with Istio's labels. \`connection_security_policy\` is \`mutual_tls\` where a
tunnel carried the connection and \`unknown\` where no TLS did: plaintext, and the handoff between two pods of one node, which
never leaves that node's kernel; there both principals are known and policy holds all the same. \`source_principal\` of what
reaches a pod is who proved itself by a certificate or on the same node, otherwise \`unknown\`; \`source_workload\` is whose address it came
from.

## Engine

${head}${table({ ...ENGINE_COUNTERS, ...ENGINE_READINGS })}
## Kernel

${head}${table({ ...KERNEL_COUNTERS, ...KERNEL_READINGS })}
## Parts of an agent

\`groundwire_agent_total\` in the metrics of an agent, by \`name\`.

${head}${table(AGENT_COUNTERS)}
## Parts of a control plane

\`groundwire_control_total\` in its metrics, by \`name\`.

${head}${table(CONTROL_COUNTERS)}`;
  return { path: 'docs/counters.md', content };
}
