/**
 * The sections of INFO: real figures of this node, under the names that Redis gave them so that clients and monitoring
 * find them, and under names of their own (`quoin_*`) where Redis has none.
 */
import { arch, platform, release } from 'node:os';
import { clusterNodeId, hostOf, portOf } from './cluster-view.js';
import { COMPATIBLE_VERSION } from './compatibility.js';
import type { RespServer } from './server.js';

type Row = readonly [string, string | number];

export interface InfoSection {
  readonly title: string;
  readonly rows: readonly Row[];
}

function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  const units = ['K', 'M', 'G', 'T'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(2)}${units[unit]}`;
}

function server(door: RespServer): InfoSection {
  const { node } = door;
  const uptimeSeconds = Math.floor((Date.now() - door.startedAtMs) / 1000);
  const self = node.self();
  return {
    title: 'Server',
    rows: [
      ['redis_version', COMPATIBLE_VERSION],
      ['redis_mode', 'cluster'],
      ['quoin_version', node.version],
      ['quoin_node_id', node.id],
      ['quoin_http_address', self.http],
      ['quoin_grpc_address', self.grpc],
      ['quoin_phase', node.state().phase],
      ['os', `${platform()} ${release()} ${arch()}`],
      ['arch_bits', 64],
      ['node_version', process.versions.node],
      ['process_id', process.pid],
      ['run_id', clusterNodeId(`${node.id}/${self.incarnation}`)],
      ['tcp_port', portOf(door.address)],
      ['server_time_usec', Date.now() * 1000],
      ['uptime_in_seconds', uptimeSeconds],
      ['uptime_in_days', Math.floor(uptimeSeconds / 86_400)],
      ['executable', process.execPath],
      ['config_file', ''],
    ],
  };
}

function clients(door: RespServer): InfoSection {
  const all = [...door.connections.values()];
  return {
    title: 'Clients',
    rows: [
      ['connected_clients', all.length],
      ['maxclients', door.limits.maxConnections],
      ['client_recent_max_output_buffer', Math.max(0, ...all.map((one) => one.unsentBytes))],
      ['blocked_clients', door.postponed.size],
      ['clients_in_transactions', all.filter((one) => one.transaction !== undefined).length],
      ['clients_watching', all.filter((one) => one.watched.size > 0).length],
    ],
  };
}

function memory(door: RespServer): InfoSection {
  const { rss, heapUsed, heapTotal, arrayBuffers } = process.memoryUsage();
  const peak = process.resourceUsage().maxRSS * 1024;
  const { memoryBytes, dataBytes } = door.node.counters();
  return {
    title: 'Memory',
    rows: [
      ['used_memory', rss],
      ['used_memory_human', formatBytes(rss)],
      ['used_memory_rss', rss],
      ['used_memory_rss_human', formatBytes(rss)],
      ['used_memory_peak', peak],
      ['used_memory_peak_human', formatBytes(peak)],
      ['used_memory_dataset', dataBytes],
      ['quoin_engine_bytes', memoryBytes],
      ['quoin_heap_used', heapUsed],
      ['quoin_heap_total', heapTotal],
      ['quoin_array_buffers', arrayBuffers],
      ['maxmemory', 0],
      ['maxmemory_human', '0B'],
      ['maxmemory_policy', 'noeviction'],
    ],
  };
}

function persistence(door: RespServer): InfoSection {
  const { node } = door;
  const { logBytes, logSyncs, logSyncMs } = node.counters();
  return {
    title: 'Persistence',
    rows: [
      ['loading', node.state().phase === 'starting' ? 1 : 0],
      ['async_loading', 0],
      ['aof_enabled', 1],
      ['aof_current_size', logBytes],
      ['aof_last_write_status', node.state().phase === 'failed' ? 'err' : 'ok'],
      ['rdb_bgsave_in_progress', 0],
      ['rdb_last_bgsave_status', 'ok'],
      ['quoin_log_syncs', logSyncs],
      ['quoin_log_sync_ms', logSyncMs],
    ],
  };
}

function stats(door: RespServer): InfoSection {
  const counters = door.node.counters();
  return {
    title: 'Stats',
    rows: [
      ['total_connections_received', door.connectionsReceived],
      ['total_commands_processed', door.commandsProcessed],
      ['instantaneous_ops_per_sec', door.rate.perSecond(door.commandsProcessed)],
      ['total_net_input_bytes', door.bytesRead],
      ['total_net_output_bytes', door.bytesWritten],
      ['rejected_connections', door.connectionsRejected],
      ['total_error_replies', door.errorReplies],
      ['quoin_commands', counters.commandsProcessed],
      ['quoin_commands_forwarded', counters.commandsForwarded],
      ['quoin_reads', counters.reads],
      ['quoin_writes', counters.writes],
      ['quoin_entries_applied', counters.entriesApplied],
      ['quoin_elections', counters.elections],
      ['quoin_frames_sent', counters.framesSent],
      ['quoin_frames_received', counters.framesReceived],
      ['quoin_peer_bytes_sent', counters.peerBytesSent],
      ['quoin_peer_bytes_received', counters.peerBytesReceived],
    ],
  };
}

function replication(door: RespServer): InfoSection {
  const { node } = door;
  const nodes = new Map((node.map()?.nodes ?? []).map((one) => [one.id, one]));
  const groups = node.groupStatus().filter((group) => group.local !== undefined);
  const led = groups.filter((group) => group.leader === node.id);
  const followed = groups.find((group) => group.leader !== undefined && group.leader !== node.id);
  const leader = followed?.leader === undefined ? undefined : nodes.get(followed.leader);
  const rows: Row[] = [];
  if (led.length === 0 && leader !== undefined) {
    rows.push(
      ['role', 'slave'],
      ['master_host', hostOf(leader.resp)],
      ['master_port', portOf(leader.resp)],
      ['master_link_status', node.peerConnected(leader.id) ? 'up' : 'down'],
      ['slave_repl_offset', followed?.local?.appliedIndex ?? 0],
      ['slave_read_only', 1],
    );
  } else {
    const followers = new Set(led.flatMap((group) => group.members.filter((id) => id !== node.id)));
    rows.push(
      ['role', 'master'],
      ['connected_slaves', [...followers].filter((id) => node.peerConnected(id)).length],
    );
    let index = 0;
    for (const id of followers) {
      const one = nodes.get(id);
      if (one === undefined) continue;
      const offset = led.reduce((sum, group) => sum + (group.local?.matchIndexes[id] ?? 0), 0);
      const state = node.peerConnected(id) ? 'online' : 'wait';
      rows.push([
        `slave${index++}`,
        `ip=${hostOf(one.resp)},port=${portOf(one.resp)},state=${state},offset=${offset},lag=0`,
      ]);
    }
  }
  rows.push(['master_repl_offset', led.reduce((sum, group) => sum + (group.local?.commitIndex ?? 0), 0)]);
  for (const group of groups) {
    const { local } = group;
    if (local === undefined) continue;
    rows.push([
      `quoin_group${group.group}`,
      `role=${local.role},leader=${group.leader ?? ''},term=${local.term},commit=${local.commitIndex},applied=${local.appliedIndex},last=${local.lastIndex},durable=${local.durableIndex},pending=${local.pendingRequests}`,
    ]);
  }
  return { title: 'Replication', rows };
}

function cpu(): InfoSection {
  const { user, system } = process.cpuUsage();
  return {
    title: 'CPU',
    rows: [
      ['used_cpu_sys', (system / 1e6).toFixed(6)],
      ['used_cpu_user', (user / 1e6).toFixed(6)],
    ],
  };
}

function commandstats(door: RespServer): InfoSection {
  const rows: Row[] = [];
  for (const entry of door.table.entries) {
    if (entry.calls === 0) continue;
    const micros = Math.round(entry.totalMs * 1000);
    const each = (micros / entry.calls).toFixed(2);
    rows.push([
      `cmdstat_${entry.name}`,
      `calls=${entry.calls},usec=${micros},usec_per_call=${each},rejected_calls=${entry.rejectedCalls},failed_calls=${entry.failedCalls}`,
    ]);
  }
  return { title: 'Commandstats', rows };
}

function cluster(door: RespServer): InfoSection {
  const map = door.node.map();
  return {
    title: 'Cluster',
    rows: [
      ['cluster_enabled', 1],
      ['quoin_cluster_name', map?.clusterName ?? ''],
      ['quoin_cluster_id', map?.clusterId ?? ''],
      ['quoin_epoch', map?.epoch ?? 0],
    ],
  };
}

/** Buckets by their index, as SELECT takes it. Keys are counted by DBSIZE, which asks every group. */
function keyspace(door: RespServer): InfoSection {
  const buckets = door.node.map()?.buckets ?? [];
  return {
    title: 'Keyspace',
    rows: buckets.map((bucket, index) => [
      `quoin_bucket${index}`,
      `name=${bucket.name},replication=${bucket.replication},engine=${bucket.engine},ttl=${bucket.ttlMs}`,
    ]),
  };
}

/** In the order in which INFO prints them. */
export const INFO_SECTIONS: ReadonlyMap<string, (door: RespServer) => InfoSection> = new Map([
  ['server', server],
  ['clients', clients],
  ['memory', memory],
  ['persistence', persistence],
  ['stats', stats],
  ['replication', replication],
  ['cpu', cpu],
  ['commandstats', commandstats],
  ['cluster', cluster],
  ['keyspace', keyspace],
]);

export const DEFAULT_SECTIONS: readonly string[] = [...INFO_SECTIONS.keys()].filter(
  (name) => name !== 'commandstats',
);
