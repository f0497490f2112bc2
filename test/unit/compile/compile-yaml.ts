// SPDX-License-Identifier: Apache-2.0

import { type CompiledMesh, compileMesh } from '#src/compile/compile.ts';
import { DEFAULT_COMPILE_SETTINGS } from '#src/compile/settings.ts';
import { parseManifest } from '#src/manifests/parse-manifest.ts';
import { ObjectStore } from '#src/objects/object-store.ts';

/** Compiles the objects of one text, as a directory with that one file would be. */
export function compileYaml(text: string): CompiledMesh {
  const store = new ObjectStore(['test']);
  store.replace('test', [parseManifest('test.yaml', text)]);
  return compileMesh(store.snapshot(), DEFAULT_COMPILE_SETTINGS);
}

/** A security object; `body` is the spec, indented by two. */
export function securityYaml(kind: string, name: string, body: string, annotations = '{}'): string {
  const [namespace, own] = name.split('/');
  return `apiVersion: security.istio.io/v1\nkind: ${kind}\nmetadata: {name: ${own}, namespace: ${namespace}, annotations: ${annotations}}\nspec:\n${body}\n---\n`;
}

/** A running pod with the label `app`. */
export function podYaml(namespace: string, name: string, address: string): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}}}\nspec: {containers: []}\nstatus: {phase: Running, podIP: ${address}}\n---\n`;
}
