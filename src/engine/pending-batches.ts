// SPDX-License-Identifier: Apache-2.0
import { getSystemErrorName } from 'node:util';
import type { BatchDone, BatchFailed } from '../model/messages.gen.ts';
import { KernelError } from './kernel-error.ts';

/** Batches that may wait for the control thread; more means that the caller does not await what it applies. */
const BATCHES_WAITING_MAX = 1024;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: KernelError) => void;
}

/** The batches of commands that have been sent and not yet acknowledged. */
export class PendingBatches {
  readonly #waiting = new Map<bigint, Waiting>();
  #last = 0n;

  /** Takes the next number, sends with it, and settles when `settle` is told of its end. Throws what `send` throws. */
  add(send: (batch: bigint) => void): Promise<void> {
    if (this.#waiting.size >= BATCHES_WAITING_MAX) {
      throw new KernelError('ERR_ENGINE_BUSY', `${BATCHES_WAITING_MAX} batches of commands wait already`, {
        op: 'apply',
      });
    }
    this.#last += 1n;
    const batch = this.#last;
    send(batch);
    return new Promise((resolve, reject) => {
      this.#waiting.set(batch, { resolve, reject });
    });
  }

  settle(done: BatchDone): void {
    const waiting = this.#waiting.get(done.batch);
    if (waiting === undefined) return;
    this.#waiting.delete(done.batch);
    if (done.outcome.kind === 'BatchApplied') waiting.resolve();
    else waiting.reject(commandError(done.outcome));
  }

  /** Rejects what will not be acknowledged any more. */
  rejectAll(error: KernelError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

function commandError({ op, errno, detail, index }: BatchFailed): KernelError {
  const reason = [errno === 0 ? '' : getSystemErrorName(-errno), detail].filter((text) => text !== '').join(', ');
  const message = `command ${index} failed: ${op}${reason === '' ? '' : ` (${reason})`}`;
  return new KernelError('ERR_ENGINE_COMMAND', message, { op, errno, detail, index });
}
