// SPDX-License-Identifier: Apache-2.0

/** Something in a manifest that was refused. */
export interface ManifestProblem {
  readonly file: string;
  /** 1-based; 0 where it is in no text. */
  readonly line: number;
  /** `Kind namespace/name`, or "" where not even that could be read. */
  readonly object: string;
  /** As in `spec.rules[0].from[1].source`, or "". */
  readonly field: string;
  readonly reason: string;
}

/**
 * What is in force in the place of something refused: its last good version; nothing; for a security object without a
 * good version a denial of its whole scope; for a duplicate the other definition.
 */
export type Standing = 'last-good' | 'nothing' | 'denied' | 'duplicate';

/** A problem, and what it leaves in force. */
export interface StandingProblem extends ManifestProblem {
  readonly standing: Standing;
}

/** Something that was accepted, but that its author should know about. */
export interface Notice {
  /** Constant, for counters and filters. */
  readonly code:
    | 'KIND_SKIPPED'
    | 'ALIAS'
    | 'ANNOTATION_IGNORED'
    | 'NO_EFFECT'
    | 'MATCHES_NOBODY'
    | 'KEY_UNKNOWN'
    | 'FIELD_IGNORED'
    | 'FIELD_UNKNOWN'
    | 'VALUE_UNKNOWN'
    | 'POLICY_WIDENED'
    | 'POLICY_NARROWED'
    | 'POLICY_UNREADABLE'
    | 'ACTION_UNSUPPORTED'
    | 'NOT_ENFORCED'
    | 'NOT_CARRIED'
    | 'DRY_RUN'
    | 'ENDPOINT_DROPPED'
    | 'WAYPOINT_UNUSABLE'
    | 'ADDRESS_EXHAUSTED'
    | 'ADDRESS_TAKEN'
    | 'HOSTNAME_TAKEN'
    | 'OBJECT_MISSING';
  /** `Kind namespace/name`. */
  readonly object: string;
  readonly message: string;
}

// Nobody has checked how long the words of a manifest are.
const SHOWN_MAX = 100;

/** A word of a manifest, as much of it as is good to read. */
export function shown(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}

/** One line a person can act on: `file:line: Kind ns/name: field: reason`. */
export function formatProblem(problem: ManifestProblem): string {
  return [formatPlace(problem), problem.object, problem.field, problem.reason].filter((part) => part !== '').join(': ');
}

/** One line that tells a notice from every other. */
export function noticeText({ code, object, message }: Notice): string {
  return `${code} ${object}: ${message}`;
}

/** `file:line`; the file alone where there are no lines. */
export function formatPlace({ file, line }: Pick<ManifestProblem, 'file' | 'line'>): string {
  return line === 0 ? file : `${file}:${line}`;
}
