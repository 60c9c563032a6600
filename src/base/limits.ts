/**
 * Every bound in one place, each with its reason. Nothing in Quoin is unbounded: queues, frames, pending requests, log,
 * sessions. Relations between limits are asserted at load, at the end of the file.
 */
import { invariant } from './errors.js';

const KIB = 1024;
const MIB = 1024 * KIB;

export const LIMITS = {
  /** Longest key. */
  maxKeyBytes: 64 * KIB,
  /** Longest value (paper 003 tests 100 MB). */
  maxValueBytes: 128 * MIB,
  /** All arguments of one request together: one value of the greatest size, and keys around it. */
  maxRequestBytes: 160 * MIB,
  /** Arguments of one request; as in Redis. */
  maxArguments: 1024 * 1024,
  /** Commands in one log entry: a version is index * 4096 + position. */
  maxCommandsPerEntry: 4096,
  /** A gathered batch is closed when it has grown past this; one larger command still makes a batch of its own. */
  maxEntryBytes: 1 * MIB,
  /** Entry payload in one append message. */
  maxAppendBytes: 1 * MIB,
  /** Appends under way to one follower before the leader waits for an answer. */
  maxInflightAppends: 64,
  /** Committed entries handed out at once, so that a long backlog after a restart is applied in portions. */
  maxCommittedBytesPerTurn: 16 * MIB,
  /** Batches of reads waiting in one group for the proof that its leader leads; one for each turn of the loop. */
  maxPendingReads: 16_384,
  /** Proposed and not yet committed, per group; past it a write is refused with OVERLOADED. */
  maxUncommittedBytes: 256 * MIB,
  /** Requests of one node under way to one group; past it OVERLOADED. */
  maxInflightRequestsPerGroup: 65536,
  /** Largest piece of a message on a peer link, so that heartbeats pass between the pieces of a large one. */
  maxFrameBytes: 256 * KIB,
  /** Queued to one peer; past it messages that may be lost (all but chunks under way) are dropped. */
  maxPeerQueueBytes: 512 * MIB,
  /** Queued to one peer; past it the answers to its reads are refused, or those to all others would wait behind them. */
  maxPeerAnswerBytes: 128 * MIB,
  /** Client connections of one node. */
  maxConnections: 10_000,
  /** Long words of half-read requests, over all connections; past it a request that needs more gets OVERLOADED. */
  maxHalfReadBytes: 512 * MIB,
  /** Unsent replies of one connection before it is no longer read from. */
  maxConnectionOutputBytes: 64 * MIB,
  /** Answers to reads that wait for one connection; past it a read is answered with OVERLOADED. */
  maxConnectionHeldBytes: 256 * MIB,
  /** Unanswered requests of one connection before it is no longer read from. */
  maxConnectionInflight: 10_000,
  /** Sessions remembered per group; the longest unused goes first. */
  maxSessionsPerGroup: 10_000,
  /** A session unused for so long (by the group's log time) is forgotten. */
  sessionIdleMs: 3_600_000,
  /** Replies remembered for one session; must cover all that its client may have under way. */
  maxRepliesPerSession: 65536,
  /** Bytes of remembered replies in one group; past it a new reply is kept as 'was applied' only. */
  maxRememberedBytesPerGroup: 64 * MIB,
  /** A remembered reply larger than this is kept as 'was applied' only. */
  maxRememberedReplyBytes: 4 * KIB,
  /** Keys that one SCAN or listing call looks at, so that no read holds up the event loop for long. */
  maxScanKeys: 10_000,
  /** Applied writes held in memory before they are written back to a disk engine; past it writes wait. */
  maxLedgerBytes: 128 * MIB,
  /** Records of eventual buckets are written back when their journal has grown by so much, so that it is quickly replayed, */
  journalWriteBackBytes: 256 * MIB,
  /** or after this time. */
  journalWriteBackMs: 60_000,
  /** Size at which a log segment is closed. */
  logSegmentBytes: 64 * MIB,
  /** Log entries' payload kept in memory for followers; older ones are read back from disk. */
  logCacheBytes: 64 * MIB,
  /** A log segment grows by so many zeros at a time, so that most syncs need no change of file size (half the cost). */
  logFillBytes: 256 * KIB,
  /** A log batch beyond this is always synced in the background: blocking the event loop for it would be felt. */
  logBlockingSyncBytes: 1 * MIB,
  /** A group whose whole retained log is smaller is copied forward rather than pinning old segments. */
  logRelocationBytes: 1 * MIB,
  /** Largest message taken on a peer link: a frame of the largest allowed piece, and room for other versions' habits. */
  maxPeerMessageBytes: 4 * MIB,
  /** Unsent bytes on a peer link at which `send` asks the sender to wait. */
  peerHighWaterBytes: 1 * MIB,
  /** Copies of a key. */
  maxReplicas: 16,
  /** Buckets in one cluster. */
  maxBuckets: 1024,
  /** Longest bucket name. */
  maxBucketNameBytes: 64,
  /** Request bodies that the HTTP door receives at one time, all together; past it OVERLOADED. */
  maxHttpBodyBytes: 512 * MIB,
  /** Keys in one page of the HTTP door's list. */
  maxListedKeys: 10_000,
  /** A page of the list is closed once its keys have grown past this. */
  maxListedBytes: 8 * MIB,
  /** Operations in one list posted to the HTTP door: they become one command of the log. */
  maxPostedOperations: 10_000,
  /** Slash commands under way in the Slack door, and its connections; past it OVERLOADED. People type them. */
  maxSlackCommands: 256,
  /** Largest request to the Slack door; Slack's longest message, percent-encoded, is smaller. */
  maxSlackRequestBytes: 512 * KIB,
  /** Permissions of the Slack door; each command walks the list. */
  maxSlackPermissions: 1024,
  /** Keys and values of calls that one client or embedded handle has under way; past it OVERLOADED. */
  maxClientBytes: 512 * MIB,
  /** Calls that wait in one client for their turn; past it OVERLOADED. */
  maxClientQueue: 10_000,
  /** Writes that one session of a client has open; a state machine always grants so many. */
  maxSessionWindow: 1024,
  /** Entries kept behind a checkpoint, so that a follower that was away for a moment needs no snapshot. */
  retainedLogEntries: 2000,
  /** News of members in one message of failure detection, so that its size does not grow with the cluster. */
  maxSwimUpdates: 32,
  /** Load digests in one message of failure detection. They are hints: what does not fit waits or is overtaken. */
  maxSwimLoads: 8,
  /** Pings that a node sends for others at one time; past it they are not sent, and others are asked too. */
  maxSwimRelays: 1024,
  /** Reads of eventual buckets that wait for other replicas, repairs after the answer included; past it OVERLOADED. */
  maxPendingQuorumReads: 65_536,
  /** Writes that other replicas have not acknowledged; past it what needs one replica alone is answered later: a fraction of a second. */
  maxReplicaLagBytes: 2 * MIB,
  /** Reads a second of one node after which the replicas that were not asked are looked at too: a tenth of ten thousand reads. */
  maxReadRepairLooksPerSecond: 1000,
  /** Records in one answer to a peer's reads; past it only versions are told and the peer asks again for what it needs. */
  maxQuorumAnswerBytes: 16 * MIB,
  /** Journal of eventual buckets that waits to be synced; past it mutations are not taken, so that a slow disk does not fill the memory. */
  maxUnsyncedJournalBytes: 64 * MIB,
  /** Messages of peers that wait for the newer map which their senders have; past it they are taken without it. */
  maxEarlyMessageBytes: 16 * MIB,
  /** Keys of one bucket with bounds that a node's other replicas are to be told of in one turn; past it they are not told. */
  maxRetentionNews: 65_536,
  /** How long a request may wait for a leader and an answer before it fails. */
  requestTimeoutMs: 10_000,
} as const;

export type LimitName = keyof typeof LIMITS;

invariant(
  LIMITS.maxValueBytes + LIMITS.maxKeyBytes < LIMITS.maxRequestBytes,
  'a request has room for the largest key and value',
);
invariant(LIMITS.maxHalfReadBytes >= LIMITS.maxRequestBytes, 'one largest request can be read');
invariant(LIMITS.maxUncommittedBytes > LIMITS.maxRequestBytes, 'one largest request can be proposed');
invariant(
  LIMITS.maxPeerQueueBytes > LIMITS.maxUncommittedBytes,
  'what may be uncommitted can be on its way to a peer',
);
invariant(
  LIMITS.maxConnectionHeldBytes > LIMITS.maxConnectionOutputBytes + LIMITS.maxValueBytes,
  'a client that is read from in its turn is not refused',
);
invariant(
  LIMITS.maxPeerAnswerBytes + LIMITS.maxRequestBytes < LIMITS.maxPeerQueueBytes,
  'answers are refused before anything is dropped',
);
invariant(
  LIMITS.maxRepliesPerSession >= LIMITS.maxInflightRequestsPerGroup,
  'every request under way can be answered again',
);
invariant(
  LIMITS.maxFrameBytes < LIMITS.maxPeerMessageBytes,
  'every frame fits into one message of a peer link',
);
invariant(LIMITS.logFillBytes < LIMITS.logSegmentBytes, 'a segment is filled in steps');
invariant(
  LIMITS.logRelocationBytes * 8 <= LIMITS.logSegmentBytes,
  'copying small groups forward frees far more than it writes',
);
invariant(
  LIMITS.maxHttpBodyBytes > 2 * LIMITS.maxRequestBytes,
  'one largest request body does not keep all others out',
);
invariant(LIMITS.maxClientBytes > LIMITS.maxRequestBytes, 'one largest request can be sent');
invariant(
  LIMITS.maxSessionWindow <= LIMITS.maxRepliesPerSession,
  'every open write of a session can be answered again',
);
