// SPDX-License-Identifier: Apache-2.0

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Authentication } from '#src/discovery/authentication.ts';
import { ControlPlane } from '#src/discovery/control-plane.ts';
import { GrpcConnections } from '#src/discovery/grpc-connections.ts';
import { GrpcServer, type GrpcService } from '#src/discovery/grpc-server.ts';
import { CertificateAuthority } from '#src/identity/certificate-authority.ts';
import { JoinTokens } from '#src/identity/join-token.ts';
import { issueServerCertificate } from '#src/identity/server-certificate.ts';
import { type Clock, systemClock } from '#src/model/clock.ts';
import type { Log } from '#src/model/log.ts';

export { ManualClock } from '../../helpers/manual-clock.ts';
export { until } from '../../helpers/until.ts';

const HOUR_MS = 3_600_000;

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** A log that keeps its lines. */
export function recordingLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine['level']) => (message: string, fields?: Record<string, unknown>) => {
    lines.push({ level, message, fields: fields ?? {} });
  };
  return { log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines };
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'groundwire-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An authority, its tokens, and a TLS server on loopback that can be closed and opened again on its port. */
export class Loopback {
  readonly authority: CertificateAuthority;
  readonly tokens: JoinTokens;
  readonly authentication: Authentication;
  readonly recorded = recordingLog();
  #server: GrpcServer | undefined;
  #port = 0;

  private constructor(authority: CertificateAuthority, tokens: JoinTokens) {
    this.authority = authority;
    this.tokens = tokens;
    this.authentication = new Authentication((token) => tokens.verify(token), systemClock, this.recorded.log);
  }

  /** Tokens live by `tokenClock`; connections and certificates by the machine's. */
  static async open(t: TestContext, tokenClock: Clock = systemClock): Promise<Loopback> {
    const stateDir = temporaryFolder(t);
    const authority = await CertificateAuthority.open({ stateDir, trustDomain: 'cluster.local', clock: systemClock });
    const loopback = new Loopback(authority, JoinTokens.open(stateDir, tokenClock));
    t.after(() => loopback.stop());
    return loopback;
  }

  async serve(...services: GrpcService[]): Promise<void> {
    this.#server = await GrpcServer.open({
      listen: { host: '127.0.0.1', port: this.#port },
      services,
      authentication: this.authentication,
      connections: new GrpcConnections(systemClock, this.recorded.log),
      issueCertificate: () => issueServerCertificate(this.authority, ['localhost', '127.0.0.1'], HOUR_MS),
      clock: systemClock,
      log: this.recorded.log,
    });
    this.#port = this.#server.port;
  }

  stop(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  controlPlane(
    node: string,
    token: string | (() => string) = this.tokens.make(node, HOUR_MS),
    rootsPem = this.authority.rootsPem,
  ): ControlPlane {
    return new ControlPlane({
      address: `127.0.0.1:${this.#port}`,
      readRootsPem: () => rootsPem,
      readToken: () => (typeof token === 'string' ? token : token()),
      clusterId: 'Kubernetes',
    });
  }
}
