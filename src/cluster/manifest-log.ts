// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import { formatProblem, type Notice, noticeText, type Standing, type StandingProblem } from '../objects/problem.ts';
import type { TellingChanges } from '../objects/tellings.ts';

// What is told at once; a directory in which everything is wrong would fill the log otherwise.
const LINES_MAX = 50;
// What a status page shows; the log has the rest.
const SHOWN_MAX = 20;
const REMINDER_MS = 10 * 60_000;

const HEADLINES: Readonly<Record<Standing, string>> = {
  'last-good': 'manifest refused, the last good version stays',
  nothing: 'manifest refused, there is no version of it in force',
  denied: 'manifest refused and no version was ever good: its scope is closed until it is corrected or removed',
  duplicate: 'duplicate in the manifests ignored',
};

/** Of what is accepted that which does not do what its author relies on: a status page shows it with what is refused. */
const IN_VAIN: Readonly<Partial<Record<Notice['code'], string>>> = {
  NOT_ENFORCED: 'not enforced',
  MATCHES_NOBODY: 'matches nobody',
  NO_EFFECT: 'has no effect',
};

/**
 * Tells each problem of the manifests once when it appears and once when it is gone, however often they are read.
 *
 * As long as there are any, it says so every ten minutes: whoever reads the log later finds out, too.
 */
export class ManifestLog {
  /** Objects, or files that name none, that were refused, each time anew; and duplicates. */
  readonly counters = { refused: 0, duplicates: 0 };
  readonly #log: Log;
  readonly #clock: Clock;
  /** By their texts, with how many say so. */
  readonly #problems = new Map<string, Told<StandingProblem>>();
  readonly #notices = new Map<string, Told<Notice>>();
  #cancelReminder: Cancel;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#cancelReminder = this.#scheduleReminder();
  }

  close(): void {
    this.#cancelReminder();
  }

  /** What came to be told since the last time, and what is told no more. */
  report(problems: TellingChanges<StandingProblem>, notices: TellingChanges<Notice>): void {
    const { came, gone } = takeIn(this.#problems, problems, formatProblem);
    this.#count([...came.values()]);
    this.#tell(came.keys(), (problem) =>
      this.#log.error(HEADLINES[came.get(problem)?.standing ?? 'nothing'], { problem }),
    );
    this.#tell(gone.keys(), (problem) => this.#log.info('manifest problem solved', { problem }));
    const news = takeIn(this.#notices, notices, noticeText);
    this.#tell(news.came.keys(), (notice) => this.#log.warn('manifest notice', { notice }));
  }

  /** How many problems there are at present, by what they leave in force. */
  standing(): ReadonlyMap<Standing, number> {
    const counts = new Map((Object.keys(HEADLINES) as Standing[]).map((standing) => [standing, 0]));
    for (const { one } of this.#problems.values()) counts.set(one.standing, (counts.get(one.standing) ?? 0) + 1);
    return counts;
  }

  /** The problems there are at present, each with what it leaves in force, in words; and what was accepted in vain. */
  describe(): readonly string[] {
    const refused = [...this.#problems].map(
      ([
        problem,
        {
          one: { standing },
        },
      ]) => `${HEADLINES[standing]}: ${problem}`,
    );
    const idle = [...this.#notices.values()].flatMap(({ one: { code, object, message } }) => {
      const headline = IN_VAIN[code];
      return headline === undefined ? [] : [`${headline}: ${object}: ${message}`];
    });
    const told = [...refused, ...idle];
    const more = told.length - SHOWN_MAX;
    return more > 0 ? [...told.slice(0, SHOWN_MAX), `manifests have ${more} more problems; the log names them`] : told;
  }

  #count(problems: readonly StandingProblem[]): void {
    const duplicates = problems.filter(({ standing }) => standing === 'duplicate');
    const refused = problems.filter(({ standing }) => standing !== 'duplicate');
    this.counters.duplicates += duplicates.length;
    this.counters.refused += new Set(refused.map(({ file, object }) => `${file} ${object}`)).size;
  }

  #scheduleReminder(): Cancel {
    return this.#clock.setTimer(REMINDER_MS, () => {
      const [first] = this.#problems.keys();
      if (first !== undefined)
        this.#log.error('manifests have problems', {
          problems: this.#problems.size,
          notices: this.#notices.size,
          first,
        });
      this.#cancelReminder = this.#scheduleReminder();
    });
  }

  #tell(all: Iterable<string>, tell: (text: string) => void): void {
    const texts = [...all];
    for (const text of texts.slice(0, LINES_MAX)) tell(text);
    if (texts.length > LINES_MAX) this.#log.warn('more of the same', { not_shown: texts.length - LINES_MAX });
  }
}

interface Told<T> {
  readonly one: T;
  readonly count: number;
}

/** Adds and takes away; returns what nobody had told before, and what nobody tells any more. */
function takeIn<T>(
  told: Map<string, Told<T>>,
  { added, removed }: TellingChanges<T>,
  textOf: (one: T) => string,
): { readonly came: ReadonlyMap<string, T>; readonly gone: ReadonlyMap<string, T> } {
  const before = new Map<string, Told<T> | undefined>();
  const change = (one: T, by: 1 | -1): void => {
    const text = textOf(one);
    const known = told.get(text);
    if (!before.has(text)) before.set(text, known);
    const count = (known?.count ?? 0) + by;
    if (count > 0) told.set(text, { one, count });
    else told.delete(text);
  };
  // Added first: what one owner says in another's place was told all the time.
  for (const one of added) change(one, 1);
  for (const one of removed) change(one, -1);
  const came = new Map<string, T>();
  const gone = new Map<string, T>();
  for (const [text, was] of before) {
    const now = told.get(text);
    if (was === undefined && now !== undefined) came.set(text, now.one);
    if (was !== undefined && now === undefined) gone.set(text, was.one);
  }
  return { came, gone };
}
