/**
 * The one registry of errors. Each has a stable code, says what to do next, and knows two things a caller must know:
 * `definite` (true: it certainly did not happen; false: it may have happened or may yet happen) and `retriable`
 * (the same request may succeed later). `resp` is the first word of the Redis error reply, `http` the status.
 *
 * A code's `remedy` fits most of its cases; one that it does not fit brings its own (`QuoinError`).
 *
 * Invariant: codes are append-only; `docs/errors.md` is generated from this table and a test keeps them equal.
 */

interface ErrorDefinition {
  readonly resp: string;
  readonly http: number;
  readonly definite: boolean;
  readonly retriable: boolean;
  /** What to do next, as one sentence for a person. */
  readonly remedy: string;
}

export const ERRORS = {
  // Requests
  WRONG_ARGUMENTS: {
    resp: 'ERR',
    http: 400,
    definite: true,
    retriable: false,
    remedy: 'Correct the arguments; the message names what was expected.',
  },
  WRONG_TYPE: {
    resp: 'WRONGTYPE',
    http: 409,
    definite: true,
    retriable: false,
    remedy: 'Use a command for the kind of value that the key holds.',
  },
  UNKNOWN_COMMAND: {
    resp: 'ERR',
    http: 404,
    definite: true,
    retriable: false,
    remedy: 'See the command list in the documentation.',
  },
  KEY_TOO_LARGE: {
    resp: 'ERR',
    http: 413,
    definite: true,
    retriable: false,
    remedy: 'Use a shorter key, or raise limits.maxKeyBytes.',
  },
  VALUE_TOO_LARGE: {
    resp: 'ERR',
    http: 413,
    definite: true,
    retriable: false,
    remedy: 'Store a smaller value, or raise limits.maxValueBytes.',
  },
  REQUEST_TOO_LARGE: {
    resp: 'ERR',
    http: 413,
    definite: true,
    retriable: false,
    remedy: 'Send fewer or smaller arguments in one request.',
  },
  CROSS_SLOT: {
    resp: 'CROSSSLOT',
    http: 400,
    definite: true,
    retriable: false,
    remedy: 'Use keys of one slot: give them the same {hash tag}.',
  },
  CONDITION_FAILED: {
    resp: 'ERR',
    http: 412,
    definite: true,
    retriable: false,
    remedy: 'Read the key again and repeat with its present version.',
  },
  PROTOCOL_ERROR: {
    resp: 'ERR',
    http: 400,
    definite: true,
    retriable: false,
    remedy: 'Check that the client speaks RESP2 or RESP3 to this port.',
  },
  NOT_FOUND: { resp: 'ERR', http: 404, definite: true, retriable: false, remedy: 'Check the name.' },
  METHOD_NOT_ALLOWED: {
    resp: 'ERR',
    http: 405,
    definite: true,
    retriable: false,
    remedy: 'Use one of the methods that the Allow header names.',
  },
  // Buckets
  UNKNOWN_BUCKET: {
    resp: 'ERR',
    http: 404,
    definite: true,
    retriable: false,
    remedy: 'List the buckets with `quoin bucket list`, or create it with `quoin bucket create`.',
  },
  BUCKET_EXISTS: {
    resp: 'ERR',
    http: 409,
    definite: true,
    retriable: false,
    remedy: 'Choose another name, or drop the bucket first.',
  },
  BUCKET_UNCHANGEABLE: {
    resp: 'ERR',
    http: 409,
    definite: true,
    retriable: false,
    remedy: 'Create a new bucket with that property and copy the data.',
  },
  BUCKET_UNDROPPABLE: {
    resp: 'ERR',
    http: 409,
    definite: true,
    retriable: false,
    remedy: 'Empty it with FLUSHDB instead.',
  },
  NOT_SUPPORTED: {
    resp: 'ERR',
    http: 501,
    definite: true,
    retriable: false,
    remedy: 'Use a bucket whose replication or engine has it.',
  },
  READ_MODIFY_WRITE: {
    resp: 'ERR',
    http: 409,
    definite: true,
    retriable: false,
    remedy: 'Use a bucket of raft replication for commands that read and write at once.',
  },
  // Cluster
  QUORUM_UNREACHABLE: {
    resp: 'CLUSTERDOWN',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'Fewer replicas can be reached than the request asked for; retry, or ask for fewer.',
  },
  NOT_COORDINATOR: {
    resp: 'TRYAGAIN',
    http: 503,
    definite: true,
    retriable: true,
    remedy:
      'Send the request to a coordinator; the message names one, and `GET /v1/coordinator` hands them out.',
  },
  CLOCK_DRIFT: {
    resp: 'TRYAGAIN',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'The clocks of the nodes have drifted too far apart; synchronize them, then retry.',
  },
  NO_LEADER: {
    resp: 'CLUSTERDOWN',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'A majority of the group must be up; retry once it is.',
  },
  NOT_LEADER: {
    resp: 'TRYAGAIN',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'Retry: leadership is moving.',
  },
  OUTCOME_UNKNOWN: {
    resp: 'UNKNOWN',
    http: 504,
    definite: false,
    retriable: false,
    remedy: 'The write may or may not have happened; read before you repeat it, or use a session.',
  },
  TIMEOUT: {
    resp: 'TRYAGAIN',
    http: 504,
    definite: true,
    retriable: true,
    remedy: 'The request was not carried out in time; retry.',
  },
  OVERLOADED: {
    resp: 'OVERLOADED',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'Slow down and retry with back-off; the node sheds load that it cannot hold.',
  },
  SHUTTING_DOWN: {
    resp: 'TRYAGAIN',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'Retry on another node: this one is stopping.',
  },
  STARTING: {
    resp: 'LOADING',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'Retry in a moment: this node is starting.',
  },
  WRONG_CLUSTER: {
    resp: 'ERR',
    http: 409,
    definite: true,
    retriable: false,
    remedy: 'Check cluster.name and cluster.join: this peer belongs to another cluster.',
  },
  LOST_DISK: {
    resp: 'ERR',
    http: 503,
    definite: true,
    retriable: false,
    remedy: 'This node came back without the data it promised to keep; restore its data directory.',
  },
  // Storage
  OUT_OF_MEMORY: {
    resp: 'OOM',
    http: 507,
    definite: true,
    retriable: false,
    remedy: "Delete keys, raise the bucket's maxMemory, or let it evict.",
  },
  LOG_DAMAGED: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy:
      'A record inside the log fails its checksum; restore the file from a mirror or a backup, do not delete it.',
  },
  LOG_TOO_NEW: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'This data directory was written by a newer version; start that version.',
  },
  CHECKPOINT_DAMAGED: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'A checkpoint fails its checksum; restore the file from a backup.',
  },
  VALUE_DAMAGED: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'A stored value fails its checksum; restore the node from a replica or a backup.',
  },
  SYNC_FAILED: {
    resp: 'ERR',
    http: 500,
    definite: false,
    retriable: false,
    remedy: 'The disk refused to make data durable; check the disk, then restart the node.',
  },
  DISK_FULL: {
    resp: 'ERR',
    http: 507,
    definite: false,
    retriable: false,
    remedy: 'Free disk space, then restart the node.',
  },
  DISK_FAILED: {
    resp: 'ERR',
    http: 500,
    definite: false,
    retriable: false,
    remedy: 'Check the path, its permissions and the disk.',
  },
  FOREIGN_DIRECTORY: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'Choose an empty directory or one that this node created.',
  },
  DIRECTORY_IN_USE: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'Another process uses this data directory; stop it or choose another directory.',
  },
  // Configuration and start
  CONFIG_INVALID: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'Correct the configuration; the message names the key and its line.',
  },
  ADDRESS_IN_USE: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'Stop what listens there or choose another port.',
  },
  PACKAGE_MISSING: {
    resp: 'ERR',
    http: 500,
    definite: true,
    retriable: false,
    remedy: 'Install the package that the message names, or take what needs it out of the configuration.',
  },
  NOT_PERMITTED: {
    resp: 'NOPERM',
    http: 403,
    definite: true,
    retriable: false,
    remedy: 'Ask who runs this cluster to permit it in the configuration.',
  },
  UNREACHABLE: {
    resp: 'ERR',
    http: 503,
    definite: true,
    retriable: true,
    remedy: 'Check that a node runs at that address (--url, QUOIN_URL), then retry.',
  },
  CLOSED: {
    resp: 'ERR',
    http: 503,
    definite: true,
    retriable: false,
    remedy: 'This client or embedded node has been closed; open a new one.',
  },
  USAGE: { resp: 'ERR', http: 400, definite: true, retriable: false, remedy: 'See --help.' },
  INTERNAL: {
    resp: 'ERR',
    http: 500,
    definite: false,
    retriable: false,
    remedy: 'This is a defect; please report it with the message.',
  },
} as const satisfies Record<string, ErrorDefinition>;

export type ErrorCode = keyof typeof ERRORS;

/** The only kind of error that Quoin raises on purpose. */
export class QuoinError extends Error {
  override readonly name = 'QuoinError';
  readonly code: ErrorCode;
  /** What to do next: the code's remedy, unless this case has one of its own. */
  readonly remedy: string;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; remedy?: string | undefined }) {
    super(message, options);
    this.code = code;
    this.remedy = options?.remedy ?? ERRORS[code].remedy;
  }
  /** True when the request certainly had no effect. */
  get definite(): boolean {
    return ERRORS[this.code].definite;
  }
  get retriable(): boolean {
    return ERRORS[this.code].retriable;
  }
}

/** A broken invariant. Stops the replica that noticed it rather than letting it spread. Stays on in production. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/** Asserts an invariant. The message says what must hold. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}
