/**
 * What Prometheus scrapes. The node's own counters are read when a scrape asks for them, so that counting costs the hot
 * path nothing but the addition that it does anyway. Each server has a registry of its own: several nodes may live in
 * one process.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { EventualStatistics, GroupStatus, NodeCounters, NodeServer } from '../../server/types.js';

interface CounterDefinition {
  readonly name: string;
  readonly help: string;
  readonly value: (counters: NodeCounters) => number;
}

const COUNTERS: readonly CounterDefinition[] = [
  { name: 'quoin_commands_total', help: 'Commands carried out', value: (one) => one.commandsProcessed },
  {
    name: 'quoin_commands_forwarded_total',
    help: 'Commands sent on to another node',
    value: (one) => one.commandsForwarded,
  },
  { name: 'quoin_reads_total', help: 'Reads', value: (one) => one.reads },
  { name: 'quoin_writes_total', help: 'Writes', value: (one) => one.writes },
  { name: 'quoin_entries_applied_total', help: 'Log entries applied', value: (one) => one.entriesApplied },
  { name: 'quoin_elections_total', help: 'Elections that this node began', value: (one) => one.elections },
  { name: 'quoin_peer_frames_sent_total', help: 'Frames sent to peers', value: (one) => one.framesSent },
  {
    name: 'quoin_peer_frames_received_total',
    help: 'Frames received from peers',
    value: (one) => one.framesReceived,
  },
  { name: 'quoin_peer_sent_bytes_total', help: 'Bytes sent to peers', value: (one) => one.peerBytesSent },
  {
    name: 'quoin_peer_received_bytes_total',
    help: 'Bytes received from peers',
    value: (one) => one.peerBytesReceived,
  },
  {
    name: 'quoin_log_written_bytes_total',
    help: 'Bytes written to the log',
    value: (one) => one.logWrittenBytes,
  },
  { name: 'quoin_log_syncs_total', help: 'Syncs of the log', value: (one) => one.logSyncs },
  {
    name: 'quoin_log_sync_seconds_total',
    help: 'Time spent in syncs of the log',
    value: (one) => one.logTotalSyncMs / 1000,
  },
];

const GAUGES: readonly CounterDefinition[] = [
  { name: 'quoin_memory_bytes', help: 'Memory held by the engines', value: (one) => one.memoryBytes },
  { name: 'quoin_data_bytes', help: 'Bytes of keys and values', value: (one) => one.dataBytes },
  {
    name: 'quoin_start_time_seconds',
    help: 'When the node started, seconds since 1970',
    value: (one) => one.startedAtMs / 1000,
  },
];

type LocalStatus = NonNullable<GroupStatus['local']>;

const GROUP_GAUGES: readonly {
  readonly name: string;
  readonly help: string;
  readonly value: (local: LocalStatus) => number;
}[] = [
  {
    name: 'quoin_group_leads',
    help: '1 when this node leads the group',
    value: (one) => (one.role === 'leader' ? 1 : 0),
  },
  { name: 'quoin_group_term', help: 'Term', value: (one) => one.term },
  { name: 'quoin_group_last_index', help: 'Last index in the log', value: (one) => one.lastIndex },
  { name: 'quoin_group_durable_index', help: 'Last index synced here', value: (one) => one.durableIndex },
  { name: 'quoin_group_commit_index', help: 'Last committed index', value: (one) => one.commitIndex },
  { name: 'quoin_group_applied_index', help: 'Last applied index', value: (one) => one.appliedIndex },
  { name: 'quoin_group_pending_requests', help: 'Requests under way', value: (one) => one.pendingRequests },
];

const EVENTUAL_COUNTERS: readonly {
  readonly name: string;
  readonly help: string;
  readonly value: (statistics: EventualStatistics) => number;
}[] = [
  {
    name: 'quoin_eventual_writes_total',
    help: 'Writes of eventual buckets coordinated',
    value: ({ quorum }) => quorum.writes,
  },
  {
    name: 'quoin_eventual_reads_total',
    help: 'Reads of eventual buckets coordinated',
    value: ({ quorum }) => quorum.reads,
  },
  {
    name: 'quoin_eventual_timeouts_total',
    help: 'Reads and writes that had not their quorum in time',
    value: ({ quorum }) => quorum.timeouts,
  },
  {
    name: 'quoin_eventual_batches_shed_total',
    help: 'Batches of mutations from peers that were not taken because too much waited for the disk',
    value: ({ batchesShed }) => batchesShed,
  },
  {
    name: 'quoin_read_repairs_total',
    help: 'Stale replicas mended after a read',
    value: ({ quorum }) => quorum.readRepairs,
  },
  {
    name: 'quoin_speculative_reads_total',
    help: 'Further replicas asked because an answer was late',
    value: ({ quorum }) => quorum.speculativeReads,
  },
  {
    name: 'quoin_hints_kept_total',
    help: 'Mutations kept for nodes that were away',
    value: ({ handoff }) => handoff.kept,
  },
  {
    name: 'quoin_hints_replayed_total',
    help: 'Kept mutations that were handed over',
    value: ({ handoff }) => handoff.replayed,
  },
  {
    name: 'quoin_hints_dropped_total',
    help: 'Kept mutations dropped for their age or for want of room',
    value: ({ handoff }) => handoff.expired + handoff.overflowed,
  },
  {
    name: 'quoin_repair_sessions_total',
    help: 'Comparisons of replicas begun by this node',
    value: ({ repair }) => repair.sessions,
  },
  {
    name: 'quoin_repair_bytes_total',
    help: 'Bytes of all messages of comparisons begun by this node, sent and received',
    value: ({ repair }) => repair.bytesMoved,
  },
  {
    name: 'quoin_repair_keys_total',
    help: 'Records sent and received in comparisons begun by this node',
    value: ({ repair }) => repair.keysMoved,
  },
  {
    name: 'quoin_repair_purged_total',
    help: 'Dead records dropped for good',
    value: ({ repair }) => repair.purged,
  },
];

export interface HttpMetrics {
  readonly registry: Registry;
  observe(method: string, route: string, status: number, elapsedMs: number): void;
}

export function createMetrics(node: NodeServer): HttpMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ node: node.id });
  collectDefaultMetrics({ register: registry });

  for (const { name, help, value } of COUNTERS)
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(value(node.counters()));
      },
    });
  for (const { name, help, value } of EVENTUAL_COUNTERS)
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        const statistics = node.eventualStatistics();
        if (statistics !== undefined) this.inc(value(statistics));
      },
    });
  new Gauge({
    name: 'quoin_hint_bytes',
    help: 'Bytes of keys and values kept for nodes that are away',
    registers: [registry],
    collect() {
      this.set(node.eventualStatistics()?.hintBytes ?? 0);
    },
  });
  new Gauge({
    name: 'quoin_eventual_filling',
    help: '1 while this node, after the loss of its disk, is no answer to reads of eventual buckets',
    registers: [registry],
    collect() {
      this.set(node.eventualStatistics()?.filling === true ? 1 : 0);
    },
  });
  new Gauge({
    name: 'quoin_member_reachable',
    help: '1 when there is a link to the member and gossip does not call it dead',
    labelNames: ['member'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { id, reachable } of node.members()) this.set({ member: id }, reachable ? 1 : 0);
    },
  });
  for (const { name, help, value } of GAUGES)
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value(node.counters()));
      },
    });
  new Gauge({
    name: 'quoin_ready',
    help: '1 when the node can answer every request',
    registers: [registry],
    collect() {
      this.set(node.ready() ? 1 : 0);
    },
  });
  new Gauge({
    name: 'quoin_cluster_epoch',
    help: 'Epoch of the cluster map; 0 before there is one',
    registers: [registry],
    collect() {
      this.set(node.map()?.epoch ?? 0);
    },
  });
  new Gauge({
    name: 'quoin_peer_connected',
    help: '1 when the peer is connected',
    labelNames: ['peer'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { id } of node.map()?.nodes ?? [])
        if (id !== node.id) this.set({ peer: id }, node.peerConnected(id) ? 1 : 0);
    },
  });
  for (const { name, help, value } of GROUP_GAUGES)
    new Gauge({
      name,
      help,
      labelNames: ['group'],
      registers: [registry],
      collect() {
        this.reset();
        for (const { group, local } of node.groupStatus())
          if (local !== undefined) this.set({ group }, value(local));
      },
    });
  new Gauge({
    name: 'quoin_group_follower_lag_entries',
    help: 'Entries that a follower is behind the log of its leader (this node)',
    labelNames: ['group', 'follower'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { group, local } of node.groupStatus()) {
        if (local === undefined || local.role !== 'leader') continue;
        for (const [follower, matchIndex] of Object.entries(local.matchIndexes))
          if (follower !== node.id) this.set({ group, follower }, Math.max(0, local.lastIndex - matchIndex));
      }
    },
  });

  const durations = new Histogram({
    name: 'quoin_http_request_duration_seconds',
    help: 'Time from a request of the HTTP door to its answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  return {
    registry,
    observe: (method, route, status, elapsedMs) =>
      durations.observe({ method, route, status }, elapsedMs / 1000),
  };
}
