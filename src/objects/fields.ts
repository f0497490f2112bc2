// SPDX-License-Identifier: Apache-2.0

// Every field of every kind that is served, and what becomes of it. docs/fields.md is made of this table; what is written
// in a manifest and is not here is told (of a security object: refused), so that nothing is dropped in silence.

import type { MeshKind } from './objects.ts';

/** What becomes of one field. */
export type FieldRule =
  /** It does what it says. `of`: its own fields, or those of each of its items. */
  | { readonly is: 'served'; readonly how: string; readonly of?: Fields }
  /** It is of no concern to a mesh: whoever it is for reads it. */
  | { readonly is: 'elsewhere'; readonly how: string; readonly of?: Fields }
  /** Accepted and without effect here: its author is told, with `how`. */
  | { readonly is: 'told'; readonly how: string };

/** By name; `*` is any other name, such as the key of a label. */
export interface Fields {
  readonly [name: string]: FieldRule;
}

export interface KindFields {
  /** A field of the spec that is not in the table, or has no value, refuses the object. */
  readonly strict: boolean;
  readonly fields: Fields;
}

const served = (how: string, of?: Fields): FieldRule => ({ is: 'served', how, ...(of && { of }) });
const elsewhere = (how: string, of?: Fields): FieldRule => ({ is: 'elsewhere', how, ...(of && { of }) });
const told = (how: string): FieldRule => ({ is: 'told', how });
/** Several fields with one fate. */
const all = (rule: FieldRule, ...names: readonly string[]): Fields =>
  Object.fromEntries(names.map((name) => [name, rule]));

const ANY_TEXT: Fields = { '*': served('') };
const WHATEVER: Fields = { '*': elsewhere('') };
const BOOKKEEPING = elsewhere("the API server's bookkeeping");

const METADATA: Fields = {
  name: served('with the namespace, which object it is'),
  namespace: served('`default` where none is given'),
  uid: served('EndpointSlices refer to pods by it'),
  labels: served('selectors; those that mean something by themselves are checked for slips', ANY_TEXT),
  annotations: served('those that mean something are checked for slips', ANY_TEXT),
  creationTimestamp: served('the older of two that claim one thing has it'),
  deletionTimestamp: served('a pod that has one is no endpoint, unless nobody else is ready'),
  ownerReferences: served('the controller names the workload in telemetry', {
    ...all(served(''), 'kind', 'name', 'controller'),
    ...all(BOOKKEEPING, 'apiVersion', 'uid', 'blockOwnerDeletion'),
  }),
  generateName: elsewhere('names are given by the API server'),
  ...all(
    BOOKKEEPING,
    'resourceVersion',
    'generation',
    'managedFields',
    'selfLink',
    'finalizers',
    'deletionGracePeriodSeconds',
  ),
};

const HEAD: Fields = {
  apiVersion: served('which kind it is'),
  kind: served('which kind it is'),
  metadata: served('', METADATA),
};
const STATUS = elsewhere('written by controllers');

const CONTAINER_PORT: Fields = {
  ...all(served('Services find a port of the pod by its name and protocol'), 'name', 'containerPort', 'protocol'),
  ...all(elsewhere("the kubelet's"), 'hostIP', 'hostPort'),
};
const CONTAINER: Fields = {
  ports: served('', CONTAINER_PORT),
  restartPolicy: served('`Always` makes an init container a sidecar of its own, whose ports count'),
  ...all(
    elsewhere("the kubelet's"),
    'name',
    'args',
    'command',
    'env',
    'envFrom',
    'image',
    'imagePullPolicy',
    'lifecycle',
    'livenessProbe',
    'readinessProbe',
    'resizePolicy',
    'resources',
    'restartPolicyRules',
    'securityContext',
    'startupProbe',
    'stdin',
    'stdinOnce',
    'terminationMessagePath',
    'terminationMessagePolicy',
    'tty',
    'volumeDevices',
    'volumeMounts',
    'workingDir',
  ),
};

const POD: Fields = {
  ...HEAD,
  spec: served('', {
    nodeName: served('the node that the pod is on'),
    serviceAccountName: served('its identity'),
    serviceAccount: served('as `serviceAccountName`'),
    hostNetwork: served("never captured: the network is the node's"),
    containers: served('', CONTAINER),
    initContainers: served('', CONTAINER),
    hostname: served('with `subdomain`: its name below that headless Service'),
    subdomain: served('with `hostname`: the headless Service'),
    ...all(
      elsewhere("the kubelet's and the scheduler's"),
      'activeDeadlineSeconds',
      'affinity',
      'automountServiceAccountToken',
      'dnsConfig',
      'dnsPolicy',
      'enableServiceLinks',
      'ephemeralContainers',
      'hostAliases',
      'hostIPC',
      'hostPID',
      'hostUsers',
      'hostnameOverride',
      'imagePullSecrets',
      'nodeSelector',
      'os',
      'overhead',
      'preemptionPolicy',
      'priority',
      'priorityClassName',
      'readinessGates',
      'resourceClaims',
      'resources',
      'restartPolicy',
      'runtimeClassName',
      'schedulerName',
      'schedulingGates',
      'securityContext',
      'setHostnameAsFQDN',
      'shareProcessNamespace',
      'terminationGracePeriodSeconds',
      'tolerations',
      'topologySpreadConstraints',
      'volumes',
      'workloadRef',
    ),
  }),
  status: served('', {
    phase: served('one that has ended is no workload'),
    podIP: served('its address'),
    podIPs: served('its addresses', { ip: served('') }),
    conditions: served('`Ready`', WHATEVER),
    '*': STATUS,
  }),
};

const SERVICE: Fields = {
  ...HEAD,
  spec: served('', {
    type: served('`ExternalName` is a CNAME; all others are addresses within the mesh'),
    externalName: served('of an ExternalName: where the CNAME leads'),
    clusterIP: served('its address; `None` is headless; without one it gets one of --service-cidr'),
    clusterIPs: served('its addresses, of both families'),
    ipFamilies: served('of which families it has addresses'),
    ipFamilyPolicy: served('whether it has addresses of both families'),
    selector: served('its endpoints; without one they come from EndpointSlices', ANY_TEXT),
    ports: served('TCP is carried; UDP and SCTP are told, and have SRV records', {
      name: served('SRV records; EndpointSlices name ports by it'),
      port: served(''),
      protocol: served('one number may have several'),
      targetPort: served('a number, or the name of a port of each pod'),
      appProtocol: served('what a waypoint is told that it speaks'),
      nodePort: told('no port of the node leads to a Service here; it is reached within the mesh'),
    }),
    sessionAffinity: served('`ClientIP`: a pod keeps to one endpoint'),
    sessionAffinityConfig: served('', {
      clientIP: served('', { timeoutSeconds: served('for how long at least after its last connection') }),
    }),
    internalTrafficPolicy: served('`Local`: endpoints of the same node only'),
    trafficDistribution: served('`PreferClose`, `PreferSameZone`, `PreferSameNode`'),
    publishNotReadyAddresses: served('endpoints that are not ready, or are told to end, count'),
    externalIPs: told('nothing is reached by these addresses here'),
    externalTrafficPolicy: told('traffic from outside the mesh does not come by way of a Service here'),
    loadBalancerIP: told('there is no load balancer here'),
    loadBalancerSourceRanges: told(
      'there is no load balancer here that would keep others out: use an AuthorizationPolicy',
    ),
    ...all(
      told('there is no load balancer here'),
      'loadBalancerClass',
      'allocateLoadBalancerNodePorts',
      'healthCheckNodePort',
    ),
  }),
  status: STATUS,
};

const ENDPOINT_SLICE: Fields = {
  ...HEAD,
  addressType: served('`IPv4`, `IPv6`; of `FQDN` the node resolves the names'),
  ports: served('TCP', {
    name: served('matches the port of the Service of that name'),
    port: served(''),
    protocol: served(''),
    appProtocol: elsewhere('the Service says what its port speaks'),
  }),
  endpoints: served('', {
    addresses: served('an address that a workload of the mesh has means that workload'),
    conditions: served('', {
      ready: served('without a word it is'),
      serving: served('serves while it ends, where nobody else is ready'),
      terminating: served('is no endpoint where another one is ready'),
    }),
    hostname: served('its name below that of the Service'),
    targetRef: served('the pod that is meant, by its uid or its address', {
      ...all(served(''), 'kind', 'name', 'namespace', 'uid'),
      ...all(BOOKKEEPING, 'apiVersion', 'resourceVersion', 'fieldPath'),
    }),
    nodeName: told('of an endpoint that is no pod no place is known: it is as far away as all others'),
    zone: told('of an endpoint that is no pod no place is known: it is as far away as all others'),
    hints: told('endpoints are chosen by trafficDistribution of the Service'),
    deprecatedTopology: told('of an endpoint that is no pod no place is known'),
  }),
};

const MACHINE: Fields = {
  address: served('an IP address, or a name that the node resolves'),
  ports: served('by the names of the ports of Services', ANY_TEXT),
  labels: served('selectors and policies', ANY_TEXT),
  network: served(''),
  locality: served('REGION/ZONE/SUBZONE'),
  weight: served(''),
  serviceAccount: served('its identity, where it speaks HBONE'),
};

const SERVICE_ENTRY: Fields = {
  ...HEAD,
  spec: served('', {
    hosts: served('a Service each; several entries of a namespace on one host are one'),
    addresses: served('addresses and ranges; without any it gets one, unless `resolution` is NONE'),
    ports: served('TCP is carried; UDP is told', {
      ...all(served(''), 'number', 'protocol'),
      name: served('without `targetPort` it leads to the port of this name of a workload that has one'),
      targetPort: served(''),
    }),
    location: elsewhere('decides nothing, as in ambient mode: an endpoint is in the mesh when it is a workload of it'),
    resolution: served('NONE, STATIC, DNS, DNS_ROUND_ROBIN; DYNAMIC_DNS is told: no waypoint serves it'),
    endpoints: served('', MACHINE),
    workloadSelector: served('', { labels: served('pods and WorkloadEntries', ANY_TEXT) }),
    exportTo: served('`.`, `*`, `~`, and names of namespaces'),
    subjectAltNames: served('who else may answer for its endpoints'),
  }),
  status: served('', {
    addresses: served('addresses that a controller gave', { ...all(served(''), 'host', 'value') }),
    '*': STATUS,
  }),
};

const LABEL_SELECTOR: Fields = {
  matchLabels: served('', ANY_TEXT),
  matchExpressions: told('only matchLabels are read: no namespace is admitted by it'),
};
const GATEWAY: Fields = {
  ...HEAD,
  spec: served('', {
    gatewayClassName: served('`istio-waypoint`; others are told'),
    listeners: served('those of protocol HBONE', {
      name: elsewhere('names it in its status'),
      port: served('15008'),
      protocol: served('HBONE'),
      allowedRoutes: served('', {
        namespaces: served('', { from: served('which namespaces it admits'), selector: served('', LABEL_SELECTOR) }),
        kinds: told('no routes are served'),
      }),
      hostname: told('a waypoint has no host name of its own'),
      tls: told('HBONE has its own certificates'),
    }),
    addresses: told('where a waypoint is its status says'),
    infrastructure: told('no waypoint is made here'),
    backendTLS: told('no waypoint is made here'),
    defaultScope: told('no routes are served'),
    allowedListeners: told('no listeners of others are read'),
    tls: told('HBONE has its own certificates'),
  }),
  status: served('', { addresses: served('where it is', { ...all(served(''), 'type', 'value') }), '*': STATUS }),
};

const MTLS: Fields = { mode: served('UNSET, DISABLE, PERMISSIVE, STRICT') };
const POLICY_SELECTOR = served('without one the whole namespace, in the root namespace the mesh', {
  matchLabels: served('', ANY_TEXT),
});
const PEER_AUTHENTICATION: Fields = {
  ...HEAD,
  spec: served('', {
    selector: POLICY_SELECTOR,
    mtls: served('', MTLS),
    portLevelMtls: served('by the port of the workload', { '*': served('', MTLS) }),
  }),
  status: STATUS,
};

const L7 = 'only L7 sees it: in an ALLOW the rule is left out, in a DENY it denies more; told';
const SOURCE: Fields = {
  ...all(
    served(''),
    'principals',
    'notPrincipals',
    'namespaces',
    'notNamespaces',
    'serviceAccounts',
    'notServiceAccounts',
    'ipBlocks',
    'notIpBlocks',
    'trustDomains',
    'notTrustDomains',
  ),
  ...all(served(L7), 'requestPrincipals', 'notRequestPrincipals', 'remoteIpBlocks', 'notRemoteIpBlocks'),
};
const OPERATION: Fields = {
  ...all(served('the port of the workload'), 'ports', 'notPorts'),
  ...all(served(L7), 'hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'),
};
const TARGET_REF: Fields = all(served(''), 'group', 'kind', 'name', 'namespace');
const AUTHORIZATION_POLICY: Fields = {
  ...HEAD,
  spec: served('', {
    selector: POLICY_SELECTOR,
    action: served('ALLOW, DENY; CUSTOM denies, AUDIT is told'),
    rules: served('', {
      from: served('', { source: served('', SOURCE) }),
      to: served('', { operation: served('', OPERATION) }),
      when: served('source.*, destination.ip and destination.port; others as L7', {
        ...all(served(''), 'key', 'values', 'notValues'),
      }),
    }),
    provider: served('of CUSTOM: a node cannot ask it', { name: served('') }),
    targetRef: served('told: a waypoint enforces it, and this version has none', TARGET_REF),
    targetRefs: served('told: a waypoint enforces it, and this version has none', TARGET_REF),
  }),
  status: STATUS,
};

/** The one table. */
export const FIELDS: Readonly<Record<MeshKind, KindFields>> = {
  Namespace: { strict: false, fields: { ...HEAD, spec: BOOKKEEPING, status: STATUS } },
  Node: { strict: false, fields: { ...HEAD, spec: elsewhere("the kubelet's"), status: STATUS } },
  ServiceAccount: {
    strict: false,
    fields: {
      ...HEAD,
      ...all(elsewhere("the kubelet's"), 'secrets', 'imagePullSecrets', 'automountServiceAccountToken'),
    },
  },
  Pod: { strict: false, fields: POD },
  Service: { strict: false, fields: SERVICE },
  EndpointSlice: { strict: false, fields: ENDPOINT_SLICE },
  WorkloadEntry: { strict: false, fields: { ...HEAD, spec: served('', MACHINE), status: STATUS } },
  ServiceEntry: { strict: false, fields: SERVICE_ENTRY },
  Gateway: { strict: false, fields: GATEWAY },
  PeerAuthentication: { strict: true, fields: PEER_AUTHENTICATION },
  AuthorizationPolicy: { strict: true, fields: AUTHORIZATION_POLICY },
};
