// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CliError, EXIT } from '#src/commands/exit-code.ts';
import { openEngine } from '#src/commands/open-engine.ts';
import { KernelError, type KernelErrorCode } from '#src/engine/kernel-error.ts';
import type { EngineOptions, KernelFeature } from '#src/model/messages.gen.ts';

const OPTIONS = {} as EngineOptions;
const SAID = 'load eBPF object: Invalid argument (steer.bpf.o: libbpf: …\nmore)';
const REMEDY = 'use Linux 5.9 or newer';

const feature = (name: string, present: boolean, required = true): KernelFeature => ({
  name,
  present,
  required,
  detail: present ? 'works' : `load an ${name} program: bpf_prog_load: Invalid argument\nverifier says more`,
  remedy: present ? '' : REMEDY,
});

/** The addon on a kernel that refuses to open the engine, and what it then finds. */
function failing(features: readonly KernelFeature[], code: KernelErrorCode = 'ERR_ENGINE_OPEN') {
  const error = new KernelError(code, SAID, { op: 'bpf_object', errno: 22 });
  const maker = {
    probes: 0,
    open: () => {
      throw error;
    },
    probe: () => {
      maker.probes += 1;
      return features;
    },
  };
  return { error, maker };
}

test('openEngine: names each kernel feature that is missing, with what was tried, and each remedy once', () => {
  const { error, maker } = failing([
    feature('sockmap', true),
    feature('sk_lookup', false),
    feature('netns cookie', false),
    feature('IPv6', false, false),
  ]);
  assert.throws(
    () => openEngine(OPTIONS, maker),
    (thrown) => {
      assert.ok(thrown instanceof CliError);
      assert.equal(thrown.exitCode, EXIT.system);
      assert.equal(thrown.cause, error);
      assert.deepEqual(thrown.message.split('\n'), [
        'the engine could not be started, this kernel or container lacks what it needs: load eBPF object: Invalid argument (steer.bpf.o: libbpf: …',
        '  sk_lookup: load an sk_lookup program: bpf_prog_load: Invalid argument',
        '  netns cookie: load an netns cookie program: bpf_prog_load: Invalid argument',
        `sk_lookup, netns cookie: ${REMEDY}`,
      ]);
      return true;
    },
  );
});

test('openEngine: what no missing feature explains is told in the words of the engine', () => {
  const { error, maker } = failing([feature('sk_lookup', true), feature('IPv6', false, false)]);
  assert.throws(() => openEngine(OPTIONS, maker), error);
});

test('openEngine: an engine that is not built is not probed for', () => {
  const { error, maker } = failing([feature('sk_lookup', false)], 'ERR_ENGINE_NOT_BUILT');
  assert.throws(() => openEngine(OPTIONS, maker), error);
  assert.equal(maker.probes, 0);
});
