// SPDX-License-Identifier: Apache-2.0

import { createPrivateKey, generateKeyPairSync, X509Certificate as NodeCertificate, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileExists } from '../config/paths.ts';
import { writeFileAtomically } from '../host/atomic-file.ts';
import type { Clock } from '../model/clock.ts';
import { errorText } from '../model/error-text.ts';
import { isMissing } from '../model/file-error.ts';
import { formatSpiffeId, type SpiffeId } from '../model/identity.ts';
import { CertificateAuthorityError } from './certificate-authority-error.ts';
import { splitPem } from './pem.ts';
import { readOrCreateSecret, readSecret, SecretFileError } from './secret-file.ts';
import { importSigningKey, type SigningKey } from './signing-key.ts';
import * as x509 from './x509.ts';

const HOUR_MS = 3_600_000;
const ROOT_LIFETIME_MS = 10 * 365 * 24 * HOUR_MS;
/** In the last fifth of its life the root is made anew with the same key, so what it has signed stays valid. */
const ROOT_RENEWAL_SHARE = 0.2;
/** Clocks of nodes differ; istiod's figure. Never more than a quarter of the lifetime, or half-life would be over at once. */
const BACKDATE_MS = 120_000;

export interface CertificateAuthorityOptions {
  /** Holds `root.key` (0600) and `root.pem`. Not used with `caCertsDir`. */
  readonly stateDir: string;
  readonly trustDomain: string;
  readonly clock: Clock;
  /** A plugged-in authority: `ca-cert.pem`, `ca-key.pem`, `cert-chain.pem` (may be missing), `root-cert.pem`. */
  readonly caCertsDir?: string;
}

/** What a leaf is to certify. */
export interface LeafRequest {
  readonly publicKey: x509.PublicKey;
  readonly subjectAltNames: readonly x509.JsonGeneralName[];
  readonly lifetimeMs: number;
}

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly key: SigningKey;
  /** PEM, between the leaf and the roots. */
  readonly intermediates: readonly string[];
  readonly rootsPem: string;
}

/** Signs certificates for the mesh: with a root of its own that it makes at first start, or with a plugged-in one. */
export class CertificateAuthority {
  readonly #issuer: Issuer;
  readonly #clock: Clock;
  readonly trustDomain: string;

  private constructor(issuer: Issuer, options: CertificateAuthorityOptions) {
    this.#issuer = issuer;
    this.#clock = options.clock;
    this.trustDomain = options.trustDomain;
  }

  /** Opens or makes the authority; throws `CertificateAuthorityError` or `SecretFileError`, and then nothing was changed. */
  static async open(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
    const { caCertsDir } = options;
    const issuer =
      caCertsDir === undefined ? await openOwnRoot(options) : await openPluggedIn(caCertsDir, options.clock);
    return new CertificateAuthority(issuer, options);
  }

  /** Whether an authority of its own has been made in this state directory. */
  static isMade(stateDir: string): boolean {
    return fileExists(join(stateDir, 'root.key')) && fileExists(join(stateDir, 'root.pem'));
  }

  /** What peers have to trust: one PEM certificate or several. */
  get rootsPem(): string {
    return this.#issuer.rootsPem;
  }

  get notAfterMs(): number {
    return this.#issuer.certificate.notAfter.getTime();
  }

  /** PEM: leaf, intermediates, and last the trust roots. */
  async signWorkload(publicKey: x509.PublicKey, identity: SpiffeId, lifetimeMs: number): Promise<string[]> {
    const subjectAltNames = [{ type: 'url' as const, value: formatSpiffeId(identity) }];
    const leaf = await this.#signLeaf({ publicKey, subjectAltNames, lifetimeMs });
    return [leaf, ...this.#issuer.intermediates, this.rootsPem];
  }

  /** A certificate of the control plane's own server: PEM chain without the roots. */
  async signServer(request: LeafRequest): Promise<string> {
    return [await this.#signLeaf(request), ...this.#issuer.intermediates].join('');
  }

  async #signLeaf({ publicKey, subjectAltNames, lifetimeMs }: LeafRequest): Promise<string> {
    const { certificate, key } = this.#issuer;
    const nowMs = this.#clock.nowMs();
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: newSerial(),
      issuer: certificate.subject,
      notBefore: new Date(nowMs - Math.min(BACKDATE_MS, lifetimeMs / 4)),
      notAfter: new Date(Math.min(nowMs + lifetimeMs, this.notAfterMs)),
      publicKey,
      signingKey: key.privateKey,
      signingAlgorithm: key.algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        // The subject is empty, so the name must be critical (RFC 5280 §4.2.1.6).
        new x509.SubjectAlternativeNameExtension([...subjectAltNames], true),
        await x509.AuthorityKeyIdentifierExtension.create(certificate.publicKey),
      ],
    });
    return `${leaf.toString('pem')}\n`;
  }
}

async function openOwnRoot(options: CertificateAuthorityOptions): Promise<Issuer> {
  const keyPath = join(options.stateDir, 'root.key');
  const certificatePath = join(options.stateDir, 'root.pem');
  const keyPem = readOrCreateSecret(keyPath, newKeyPem);
  const key = await readKey(keyPath, keyPem);
  const present = readCertificate(certificatePath);
  if (present !== undefined) {
    const issuer = checkIssuer(certificatePath, present, keyPath, keyPem, options.clock);
    checkTrustDomain(certificatePath, issuer, options.trustDomain);
    const lifetimeMs = issuer.notAfter.getTime() - issuer.notBefore.getTime();
    if (issuer.notAfter.getTime() - options.clock.nowMs() > lifetimeMs * ROOT_RENEWAL_SHARE) {
      return { certificate: issuer, key, intermediates: [], rootsPem: present };
    }
  }
  const rootsPem = await makeRoot(key, options);
  writeFileAtomically(certificatePath, rootsPem, 0o644);
  return { certificate: new x509.X509Certificate(rootsPem), key, intermediates: [], rootsPem };
}

async function openPluggedIn(folder: string, clock: Clock): Promise<Issuer> {
  const keyPath = join(folder, 'ca-key.pem');
  const certificatePath = join(folder, 'ca-cert.pem');
  const keyPem = readRequired(keyPath, () => readSecret(keyPath));
  const certificatePem = readRequired(certificatePath, () => readFileSync(certificatePath, 'utf8'));
  const certificate = checkIssuer(certificatePath, certificatePem, keyPath, keyPem, clock);
  const rootPath = join(folder, 'root-cert.pem');
  const rootsPem = readRequired(rootPath, () => readFileSync(rootPath, 'utf8'));
  if (splitPem(rootsPem).length === 0) throw new CertificateAuthorityError(`${rootPath} holds no certificate`);
  const chain = splitPem(readCertificate(join(folder, 'cert-chain.pem')) ?? certificatePem);
  // Peers have the roots already; a root in the chain would be sent for nothing.
  const roots = new Set(splitPem(rootsPem));
  const intermediates = chain.filter((pem) => !roots.has(pem));
  return { certificate, key: await readKey(keyPath, keyPem), intermediates, rootsPem };
}

async function makeRoot(key: SigningKey, { clock, trustDomain }: CertificateAuthorityOptions): Promise<string> {
  const nowMs = clock.nowMs();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ O: [trustDomain] }, { CN: ['Groundwire root'] }],
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + ROOT_LIFETIME_MS),
    keys: { privateKey: key.privateKey, publicKey: key.publicKey },
    signingAlgorithm: key.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${trustDomain}` }]),
      await x509.SubjectKeyIdentifierExtension.create(key.publicKey),
    ],
  });
  return `${root.toString('pem')}\n`;
}

function checkIssuer(path: string, pem: string, keyPath: string, keyPem: string, clock: Clock): x509.X509Certificate {
  let certificate: NodeCertificate;
  try {
    certificate = new NodeCertificate(pem);
  } catch (cause) {
    throw new CertificateAuthorityError(`${path} is not a PEM certificate; restore it from a backup`, { cause });
  }
  if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) {
    throw new CertificateAuthorityError(
      `${path} does not belong to the key in ${keyPath}; restore the pair from one backup`,
    );
  }
  if (!certificate.ca)
    throw new CertificateAuthorityError(`${path} is not a certificate of an authority (CA:TRUE is missing)`);
  if (certificate.validToDate.getTime() <= clock.nowMs()) {
    throw new CertificateAuthorityError(`${path} expired on ${certificate.validToDate.toISOString()}; replace it`);
  }
  return new x509.X509Certificate(pem);
}

function checkTrustDomain(path: string, certificate: x509.X509Certificate, trustDomain: string): void {
  const [organization] = certificate.subjectName.getField('O');
  if (organization === trustDomain) return;
  throw new CertificateAuthorityError(
    `${path} is the root of trust domain ${organization ?? '(none)'}, not of ${trustDomain}; use another state directory, or the trust domain it was made for`,
  );
}

async function readKey(path: string, pem: string): Promise<SigningKey> {
  try {
    return await importSigningKey(pem);
  } catch (cause) {
    const reason = errorText(cause);
    throw new CertificateAuthorityError(
      `${path} is not a usable private key (${reason}); restore it from a backup. Removing it makes a new root, which no running agent trusts`,
      { cause },
    );
  }
}

function readCertificate(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function readRequired(path: string, read: () => string): string {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof SecretFileError) throw cause;
    throw new CertificateAuthorityError(`${path} cannot be read: ${errorText(cause)}`, { cause });
  }
}

function newKeyPem(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** 128 bits, positive. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
