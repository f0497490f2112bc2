// SPDX-License-Identifier: Apache-2.0

import { formatProblem, type ManifestProblem, type Notice } from '../manifests/problem.ts';
import type { Log } from '../model/log.ts';

/** Tells each problem of the manifests once when it appears and once when it is gone, however often they are read. */
export class ManifestLog {
  readonly #log: Log;
  #problems: ReadonlySet<string> = new Set();
  #notices: ReadonlySet<string> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  report(problems: readonly ManifestProblem[], notices: readonly Notice[]): void {
    const problemsNow = new Set(problems.map(formatProblem));
    for (const problem of problemsNow) {
      if (!this.#problems.has(problem)) this.#log.error('manifest refused, the last good version stays', { problem });
    }
    for (const problem of this.#problems) {
      if (!problemsNow.has(problem)) this.#log.info('manifest problem solved', { problem });
    }
    this.#problems = problemsNow;
    const noticesNow = new Set(notices.map((notice) => `${notice.code} ${notice.object}: ${notice.message}`));
    for (const notice of noticesNow) if (!this.#notices.has(notice)) this.#log.warn('manifest notice', { notice });
    this.#notices = noticesNow;
  }
}
