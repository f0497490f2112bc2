// SPDX-License-Identifier: Apache-2.0

import type { Cancel, Clock } from '../model/clock.ts';
import type { Log } from '../model/log.ts';
import { formatProblem, type Notice, type Standing, type StandingProblem } from '../objects/problem.ts';

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
  #problems: ReadonlyMap<string, StandingProblem> = new Map();
  #notices: ReadonlyMap<string, Notice> = new Map();
  #cancelReminder: Cancel;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#cancelReminder = this.#scheduleReminder();
  }

  close(): void {
    this.#cancelReminder();
  }

  report(problems: readonly StandingProblem[], notices: readonly Notice[]): void {
    const problemsNow = new Map(problems.map((problem) => [formatProblem(problem), problem]));
    const noticesNow = new Map(notices.map((notice) => [`${notice.code} ${notice.object}: ${notice.message}`, notice]));
    const news = added(problemsNow, this.#problems);
    this.#count(news.flatMap((text) => problemsNow.get(text) ?? []));
    this.#tell(news, (problem) =>
      this.#log.error(HEADLINES[problemsNow.get(problem)?.standing ?? 'nothing'], { problem }),
    );
    this.#tell(added(this.#problems, problemsNow), (problem) => this.#log.info('manifest problem solved', { problem }));
    this.#tell(added(noticesNow, this.#notices), (notice) => this.#log.warn('manifest notice', { notice }));
    this.#problems = problemsNow;
    this.#notices = noticesNow;
  }

  /** How many problems there are at present, by what they leave in force. */
  standing(): ReadonlyMap<Standing, number> {
    const counts = new Map((Object.keys(HEADLINES) as Standing[]).map((standing) => [standing, 0]));
    for (const { standing } of this.#problems.values()) counts.set(standing, (counts.get(standing) ?? 0) + 1);
    return counts;
  }

  /** The problems there are at present, each with what it leaves in force, in words; and what was accepted in vain. */
  describe(): readonly string[] {
    const refused = [...this.#problems].map(([problem, { standing }]) => `${HEADLINES[standing]}: ${problem}`);
    const idle = [...this.#notices.values()].flatMap(({ code, object, message }) => {
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

  #tell(texts: readonly string[], tell: (text: string) => void): void {
    for (const text of texts.slice(0, LINES_MAX)) tell(text);
    if (texts.length > LINES_MAX) this.#log.warn('more of the same', { not_shown: texts.length - LINES_MAX });
  }
}

/** The texts that are there now and were not before. */
function added(now: Texts, before: Texts): string[] {
  return [...now.keys()].filter((text) => !before.has(text));
}

type Texts = ReadonlyMap<string, unknown>;
