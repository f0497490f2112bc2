// SPDX-License-Identifier: Apache-2.0

import type { Registry } from 'prom-client';
import type { ControlCounter } from './part-counters.ts';
import { type Build, declareBuild, readingsOf } from './readings.ts';

/** Where the metrics of a control plane come from, read at the scrape. */
export interface ControlReader {
  /** Open discovery streams. */
  clients(): number;
  /** Discovery responses and their rejections, by type: `wds`, `wads`. */
  pushes(): Iterable<{ readonly type: string; readonly pushes: number; readonly nacks: number }>;
  /** Services that nodes are told of. */
  services(): number;
  /** Objects in force by kind, those of reported pods among them. */
  objects(): Iterable<readonly [kind: string, count: number]>;
  /** Objects of manifests that were taken, and that were refused, each version anew. */
  validation(): { readonly passed: number; readonly failed: number };
  /** Problems of the manifests at present, by what they leave in force. */
  manifestProblems(): Iterable<readonly [standing: string, count: number]>;
  signing(): {
    readonly signed: number;
    readonly refused: number;
    readonly rateLimited: number;
    readonly failed: number;
  };
  /** Calls without an accepted token. */
  authenticationFailures(): number;
  rootNotAfterMs(): number;
  /** Registered pods and nodes by state. */
  pods(): Iterable<readonly [state: string, count: number]>;
  nodes(): Iterable<readonly [state: string, count: number]>;
  /** Counters of the parts of the control plane. */
  counters(): Iterable<readonly [name: ControlCounter, value: number]>;
}

/**
 * Declares every metric of the control plane: in istiod's names where istiod has one of the same meaning, so that its
 * dashboards and alerts hold; ours begin with `groundwire_`.
 */
export function declareControlMetrics(registry: Registry, reader: ControlReader, build: Build): void {
  declareBuild(registry, build);
  const { readCounter, readGauge } = readingsOf(registry);
  readGauge('pilot_xds', 'Open discovery streams.', [], (metric) => metric.set(reader.clients()));
  readCounter('pilot_xds_pushes', 'Discovery responses sent.', ['type'], (metric) => {
    for (const { type, pushes } of reader.pushes()) metric.inc({ type }, pushes);
  });
  readCounter('pilot_total_xds_rejects', 'Discovery responses that a node rejected.', ['type'], (metric) => {
    for (const { type, nacks } of reader.pushes()) metric.inc({ type }, nacks);
  });
  readGauge('pilot_services', 'Services that nodes are told of.', [], (metric) => metric.set(reader.services()));
  readCounter('galley_validation_passed', 'Objects of manifests taken.', [], (metric) =>
    metric.inc(reader.validation().passed),
  );
  readCounter('galley_validation_failed', 'Objects of manifests refused.', [], (metric) =>
    metric.inc(reader.validation().failed),
  );
  readGauge('groundwire_manifest_problems', 'What is wrong in the manifests now.', ['in_force'], (metric) => {
    for (const [standing, count] of reader.manifestProblems()) metric.set({ in_force: standing }, count);
  });
  readGauge('groundwire_objects', 'Objects in force.', ['kind'], (metric) => {
    for (const [kind, count] of reader.objects()) metric.set({ kind }, count);
  });
  declareAuthority(registry, reader);
  readGauge('groundwire_registered_pods', 'Pods that nodes reported.', ['state'], (metric) => {
    for (const [state, count] of reader.pods()) metric.set({ state }, count);
  });
  readGauge('groundwire_nodes', 'Nodes that have joined.', ['state'], (metric) => {
    for (const [state, count] of reader.nodes()) metric.set({ state }, count);
  });
  readCounter(
    'groundwire_control_total',
    'Counters of the parts of the control plane; docs/counters.md says what each counts and what to do when it rises.',
    ['name'],
    (metric) => {
      for (const [name, value] of reader.counters()) metric.inc({ name }, value);
    },
  );
}

function declareAuthority(registry: Registry, reader: ControlReader): void {
  const { readCounter, readGauge } = readingsOf(registry);
  readCounter('citadel_server_csr_count', 'Certificates asked for.', [], (metric) => {
    const { signed, refused, rateLimited, failed } = reader.signing();
    metric.inc(signed + refused + rateLimited + failed);
  });
  readCounter('citadel_server_success_cert_issuance_count', 'Certificates signed.', [], (metric) =>
    metric.inc(reader.signing().signed),
  );
  readCounter('citadel_server_csr_sign_err_count', 'Certificates that could not be signed.', [], (metric) =>
    metric.inc(reader.signing().failed),
  );
  readCounter('groundwire_certificates_refused_total', 'Certificates refused.', ['reason'], (metric) => {
    metric.inc({ reason: 'not_entitled' }, reader.signing().refused);
    metric.inc({ reason: 'rate_limited' }, reader.signing().rateLimited);
  });
  readCounter('citadel_server_authentication_failure_count', 'Calls without an accepted token.', [], (metric) =>
    metric.inc(reader.authenticationFailures()),
  );
  readGauge('citadel_server_root_cert_expiry_timestamp', 'When the root ends, in seconds.', [], (metric) =>
    metric.set(reader.rootNotAfterMs() / 1000),
  );
}
