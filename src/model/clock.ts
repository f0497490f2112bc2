// SPDX-License-Identifier: Apache-2.0

/** Ends what was started: a timer, a subscription. Calling it again does nothing. */
export type Cancel = () => void;

/** The only source of time for code whose decisions depend on it; tests bring their own. */
export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Calls `run` once after `delayMs`; the timer never keeps the process alive by itself. */
  setTimer(delayMs: number, run: () => void): Cancel;
}

/** Resolves in the next turn of the event loop: who has much to do lets others go on. Decides nothing by time. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

// setTimeout takes a signed 32-bit count; what is later than that is asked for again.
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  setTimer(delayMs, run) {
    let timer: NodeJS.Timeout;
    const arm = (restMs: number): void => {
      const stepMs = Math.min(Math.max(restMs, 0), TIMER_MS_MAX);
      timer = setTimeout(() => (restMs > stepMs ? arm(restMs - stepMs) : run()), stepMs);
      timer.unref();
    };
    arm(delayMs);
    return () => clearTimeout(timer);
  },
};
