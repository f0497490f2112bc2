// SPDX-License-Identifier: Apache-2.0

import type { CounterHelp } from './engine-counters.ts';

const API = {
  api_lists: ['times a resource of the API server was listed whole', ''],
  api_watches: ['times a resource was followed from where the last watch had ended', ''],
  api_events: ['changes that watches told', ''],
  api_expired: [
    'times the API server no longer knew where a watch had ended: listed anew',
    'expected after an outage; again and again: the API server is overloaded',
  ],
  api_failures: [
    'times a list or a watch failed, broke or fell silent; tried again',
    'the log names resource and error: the API server, its certificate, or a right that is missing',
  ],
} as const;

const REQUESTS = {
  requests_served: ['requests answered', ''],
  requests_refused: [
    'requests refused: not valid, not whole, unknown, too large, or not allowed here',
    'the answer told the caller why',
  ],
  requests_failed: ['requests that failed within', 'a bug: the log has the request and the error; report it'],
  requests_displaced: [
    'connections of HTTP clients ended to make room: their address had 16, or of all addresses with the most the door 128',
    'somebody opens many and asks nothing: `ss -tn` in the node says who; probes and scrapes go on',
  ],
  requests_turned_away: [
    'connections of HTTP clients ended as they came: 16 of their address were being answered',
    'somebody asks much and reads slowly: `ss -tn` in the node says who',
  ],
  requests_late: [
    'connections of HTTP clients ended: no whole request within 6 s, no body within 10 s, or its answer not taken within 30 s',
    'somebody is slow, or means harm; the client asks again',
  ],
  scrapes_rendered: ['times the metrics were rendered', ''],
  scrapes_shared: ['scrapes answered with a rendering that another scraper got too', ''],
  scrapes_abandoned: ['scrapes not rendered: the scraper had gone', ''],
} as const;

/** Of the parts of an agent, in TypeScript. */
export const AGENT_COUNTERS = {
  ...API,
  annotation_written: ['times the API server was told that a pod of this node is captured, or is not any more', ''],
  annotation_failures: [
    'times it did not take that; tried again',
    'the log names pod and error; until then others reach the pod as before',
  ],
  node_agents_refused: [
    'agents that were started for this node and found it taken',
    'stop whatever starts them; the log has their processes',
  ],
  token_renewed: ['join tokens that the control plane gave in the place of the last one', ''],
  token_not_kept: [
    'of these, those that could not be written to disk',
    'make room in --state-dir: after a restart the agent has the token file only, which may have ended',
  ],
  token_outdated: [
    'join tokens that came in the place of one that the operator has replaced meanwhile, not used',
    'the agent attaches anew with the one given',
  ],
  names_lookups: ['host names of endpoints and ExternalNames looked up by this node', ''],
  names_failures: [
    'of these, those without an address',
    'groundwire status names them and says why; what was found last stays for ten minutes',
  ],
  names_refused: [
    'names not looked up: there are 10,000 in use',
    'fewer endpoints by name; their connections are refused with UNRESOLVED_NAME',
  ],
  certificates_signed: ['certificates that the control plane signed', ''],
  certificates_failed: [
    'certificates asked for and not had; asked for again',
    'groundwire certificates and the log say why',
  ],
  certificates_expired: [
    'certificates that ended before they could be renewed: their pods neither connect nor are connected to',
    'see certificates_failed; compare the clocks of both machines',
  ],
  identities_taken: ['certificates that the engine took', ''],
  identities_refused: [
    'certificates that the engine did not take; given again',
    'the log says why; until one is taken its pods are not captured',
  ],
  discovery_connects: ['discovery streams dialled', ''],
  discovery_failures: [
    'discovery streams that ended, or never came to be',
    'groundwire status and the log say why; what was heard last stays in force meanwhile',
  ],
  discovery_responses: ['discovery responses received', ''],
  discovery_acks: ['discovery responses taken whole', ''],
  discovery_nacks: ['discovery responses not taken whole', 'the log names each resource and what is wrong with it'],
  discovery_rejected_resources: [
    'resources not taken: what was known of them before stays in force',
    'agent and control plane are of different versions, or the control plane is wrong: the log says where',
  ],
  registry_connects: ['pod registry streams dialled', ''],
  registry_failures: [
    'pod registry streams that ended, or never came to be',
    'the log says why; no pod is started meanwhile, those that run go on',
  ],
  cache_writes: ['times the last good configuration was written to disk', ''],
  cache_write_failures: [
    'times the last good configuration could not be written to disk',
    'make room in --state-dir; a start without the control plane would not know what is new',
  ],
  cache_unreadable: [
    'last good configurations found damaged at start',
    'the agent has started without; look at the disk',
  ],
  pods_started: ['pods started', ''],
  pods_refused: ['pods asked for and not started', 'groundwire run has said why'],
  pods_removed: ['pods removed', ''],
  pods_steps_failed: [
    'steps of capturing or releasing a pod that failed; tried again',
    'groundwire status says at which pod, and why',
  ],
  pods_taken_over: ['pods of an earlier run of the agent, taken over', ''],
  pods_holders_unseen: [
    'looks at the process that holds a pod which the system refused: the pod stays, and is looked at again in a second',
    'the log has what it said; mostly this machine is out of files or memory: see out_of_files',
  ],
  pod_files_write_failures: [
    'files of pods that could not be written: no pod starts',
    'make room in --run-dir; groundwire status names it until a write works again',
  ],
  pod_files_removal_failures: [
    'files of pods that are gone and could not be removed',
    'look at the disk of --run-dir; the next agent removes them',
  ],
  recalls_failed: [
    'times the engine did not take back answers that no longer hold; tried again',
    'report it: connections that a change denies may live on meanwhile',
  ],
  ...REQUESTS,
} as const satisfies Readonly<Record<string, CounterHelp>>;

/** Of the parts of a control plane. */
export const CONTROL_COUNTERS = {
  ...API,
  token_reviews: ['tokens of agents that the API server was asked about', ''],
  token_failures: [
    'of these, those that it did not answer',
    'the callers were refused: see whether the API server is there, and the right to create tokenreviews',
  ],
  root_certificate_written: ["times the mesh's root was published for the agents", ''],
  root_certificate_failures: [
    'times it could not be published; tried again',
    'the log says why; new agents cannot join',
  ],
  state_writes: ['times pods or manifests in force were written to disk', ''],
  state_write_failures: [
    'times they could not be written',
    'make room in --state-dir: a restart would not know what is new',
  ],
  state_unreadable: [
    'times the manifests of an earlier run could not be used',
    'what is broken in the manifests has no last good version: correct it; look at the disk',
  ],
  registry_attached: ['times a node attached', ''],
  registry_attached_twice: [
    'times a node attached while its last stream was open',
    'the log names both peers: one host is a node after a cut; two are two agents with one name, or a stolen token',
  ],
  registry_reports: ['messages of nodes', ''],
  registry_pods_rejected: [
    'pods that nodes reported and that were not taken',
    'the log names pod, node and reason: most often a name that another node uses',
  ],
  registry_nodes_refused: [
    'times a node was refused',
    'the log names node and reason: most often the token of another node',
  ],
  registry_leases_expired: [
    'nodes that did not come back within --node-grace: their pods are unhealthy',
    'look at the node and at the network between',
  ],
  registry_nodes_forgotten: [
    'nodes that did not come back within --node-forget either: their pods left the mesh',
    'expected of a node that was taken out; if it lives, its pods are sent to in plaintext',
  ],
  registry_tokens_renewed: ['join tokens given to attached nodes in the place of the last one', ''],
  discovery_streams: ['discovery streams opened', ''],
  discovery_slow_clients: [
    'discovery streams ended: no answer to a response in time',
    'the node has no CPU, or the network loses much',
  ],
  discovery_unknown_types: ['requests for types that are not served', ''],
  publisher_published: ['times the mesh was compiled and published', ''],
  publisher_failures: [
    'changes that could not be published: what was published before stays',
    'a bug: the log has the error; report it',
  ],
  publication_unencodable: [
    'objects that could not be sent: their last form stays, each time anew',
    'the log names them; correct the manifest',
  ],
  manifests_refused: ['versions of objects that were refused', 'the log has file, line and reason'],
  manifests_duplicates: [
    'definitions left out because the object is defined elsewhere',
    'the log names both places: remove one',
  ],
  changes_accepted: ['versions of objects that were accepted', ''],
  changes_removed: ['objects of manifests that are no longer in force', ''],
  authentication_accepted: ['calls with an accepted token', ''],
  authentication_refused: [
    'calls without one',
    'the log says from where and why: make a token with groundwire control token',
  ],
  strangers_displaced: [
    'connections without an accepted token ended to make room: their address had 32, or of all addresses with the most of 256',
    'the log says from where; agents that have proven themselves are not touched',
  ],
  strangers_turned_away: [
    'connections ended as they came: 32 of their address had come within a second',
    'the log says from where; a mesh that comes back behind one address comes by and by',
  ],
  strangers_late: [
    'connections ended: no call with an accepted token within 10 s',
    'the log says from where: a scanner, or an agent whose token has ended',
  ],
  strangers_noisy: [
    'connections ended: 8 refused calls, or more than 64 KiB, without an accepted token',
    'the log says from where, and authentication_refused why',
  ],
  members_displaced: [
    'connections of a node ended because it opened a 17th',
    'two agents with one name, or a stolen token: see registry_attached_twice',
  ],
  members_turned_away: ['connections of nodes ended: there are 65,536', 'more nodes than one control plane serves'],
  ...REQUESTS,
  log_written: ['lines of the log written', ''],
  log_dropped: ['lines not written: too many were on their way', 'whoever reads standard error is too slow'],
  log_failed: ['lines not written: standard error does not take them', 'a full disk or a closed pipe'],
} as const satisfies Readonly<Record<string, CounterHelp>>;

export type AgentCounter = keyof typeof AGENT_COUNTERS;
export type ControlCounter = keyof typeof CONTROL_COUNTERS;
