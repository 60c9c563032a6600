import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { changeLimits } from '../../sim/limits.js';
import { SeededRandom } from '../../sim/random.js';
import { ByteReader, ByteWriter } from '../../src/base/bytes.js';
import { MESSAGE } from '../../src/replica/peers/frame.js';
import { CHUNK, decodeChunkHeader, encodeChunkHeader } from '../../src/replica/snapshot-codec.js';
import { type Member, ReplicaWorld, type SeenMessage } from './support/replica-world.js';

let restore: () => void;

beforeEach(() => {
  // Logs are cut at every checkpoint, and chunks are small: what takes a production node hours happens at once.
  restore = changeLimits({ retainedLogEntries: 0, maxFrameBytes: 2048 });
});

afterEach(() => restore());

const isChunk = ({ kind }: SeenMessage): boolean => kind === MESSAGE.snapshotChunk;

/** A follower that lost so much that its leader's log begins behind it: it is down, and the others have gone on. */
function laggard(world: ReplicaWorld, writes = 60): Member {
  const leader = world.leader();
  const follower = world.members.find((member) => member !== leader)!;
  world.run('SET', 'before', 'x');
  world.agree();
  world.until('its log is cut', () => follower.life.log.group(1).firstIndex() > 2);
  // With these it becomes durable that the log was cut.
  world.run('SET', 'before', 'y');
  world.agree();
  follower.crash();
  for (let i = 0; i < writes; i++) world.run('SET', `key-${i}`, `value-${i}`);
  const seenIndex = world.leader().replica.appliedIndex;
  world.until('the log is cut', () =>
    world.running.every(({ replica, life }) => {
      return replica.durableIndex >= seenIndex && life.log.group(1).firstIndex() > seenIndex - 5;
    }),
  );
  return follower;
}

describe('a follower that is behind the log', () => {
  test('gets the whole state, slot by slot, and goes on from there', () => {
    const world = new ReplicaWorld({ seed: 'whole' });
    const follower = laggard(world);
    let chunks = 0;
    world.seen = (message) => {
      if (isChunk(message)) chunks++;
    };
    follower.start();
    world.agree();
    expect(chunks).toBeGreaterThan(3);
    world.run('SET', 'after', 'y');
    world.agree();
    expect(world.failures).toEqual([]);
  });

  test('has it durably: a crash right after it takes nothing back', () => {
    const world = new ReplicaWorld({ seed: 'durable' });
    const follower = laggard(world);
    follower.start();
    world.until(
      'the snapshot is in',
      () => follower.replica.appliedIndex > 10 && !follower.replica.stateMissing,
    );
    world.until('it is durable', () => follower.replica.durableIndex > 10);
    const { durableIndex } = follower.replica;
    follower.crash();
    follower.start();
    expect(follower.replica.appliedIndex).toBeGreaterThanOrEqual(durableIndex);
    expect(follower.replica.stateMissing).toBe(false);
    world.agree();
  });

  test('gets it while writes go on, with slots that reflect different indexes', () => {
    const world = new ReplicaWorld({ seed: 'during' });
    const follower = laggard(world, 120);
    const reflected = new Set<number>();
    let number = 0;
    const pending = new Set<() => unknown>();
    world.seen = ({ kind, body }) => {
      if (kind !== MESSAGE.snapshotChunk) return;
      const reader = new ByteReader(body);
      if (decodeChunkHeader(reader).type !== CHUNK.slots) return;
      const leader = world.running.find(({ replica }) => replica.leading);
      if (leader === undefined) return;
      reflected.add(leader.replica.appliedIndex);
      for (const key of [`key-${number % 120}`, `new-${number}`, 'count']) {
        const words = key === 'count' ? ['INCR', key] : ['SET', key, `during-${number}`];
        const request = world.request(words);
        leader.replica.enqueue(request);
        pending.add(() => request.outcome);
      }
      number++;
    };
    follower.start();
    world.agree();
    world.until('all writes are answered', () => [...pending].every((outcome) => outcome() !== undefined));
    world.agree();
    expect(reflected.size).toBeGreaterThan(3);
    expect(world.run('GET', 'count')).toBe(String(number));
  });

  test('gets lost chunks and lost acknowledgements again', () => {
    for (const lost of [MESSAGE.snapshotChunk, MESSAGE.snapshotAcknowledgement]) {
      const world = new ReplicaWorld({ seed: `lost-${lost}` });
      const follower = laggard(world);
      const chance = new SeededRandom('lost');
      let count = 0;
      world.filter = ({ kind }) => {
        if (kind !== lost || !chance.chance(0.1)) return true;
        count++;
        return false;
      };
      follower.start();
      world.agree();
      expect(count).toBeGreaterThan(3);
    }
  });

  test('never has more than the window of chunks unacknowledged on its way', () => {
    const world = new ReplicaWorld({ seed: 'window' });
    const follower = laggard(world);
    const numbers = new Set<number>();
    world.seen = (message) => {
      if (isChunk(message)) numbers.add(decodeChunkHeader(new ByteReader(message.body)).number);
    };
    world.filter = ({ kind }) => kind !== MESSAGE.snapshotAcknowledgement;
    follower.start();
    world.until('chunks come', () => numbers.size > 0);
    world.pass(5000);
    expect([...numbers].sort((left, right) => left - right)).toEqual([0, 1, 2, 3]);
  });

  test('gets no chunk twice, and is not given up, while the link is slow', () => {
    const world = new ReplicaWorld({ seed: 'slow' });
    const follower = laggard(world);
    let chunks = 0;
    const ids = new Set<number>();
    world.seen = (message) => {
      if (!isChunk(message)) return;
      chunks++;
      ids.add(decodeChunkHeader(new ByteReader(message.body)).snapshotId);
    };
    world.filter = ({ kind }) => kind !== MESSAGE.snapshotAcknowledgement;
    const { hub } = world.leader().life;
    hub.queuedBytes = () => 1;
    follower.start();
    world.until('chunks come', () => chunks > 0);
    world.pass(40_000);
    expect(chunks).toBe(4);
    hub.queuedBytes = () => 0;
    world.filter = () => true;
    world.agree();
    expect(ids.size).toBe(1);
  });

  test('starts anew with a new leader when the sender dies half-way', () => {
    const world = new ReplicaWorld({ seed: 'abandoned' });
    const follower = laggard(world);
    let chunks = 0;
    world.filter = (message) => !isChunk(message) || ++chunks < 3;
    follower.start();
    world.until('the state is on its way', () => follower.replica.stateMissing && chunks >= 3);
    const sender = world.leader();
    sender.crash();
    world.filter = () => true;
    world.until('it has the state', () => !follower.replica.stateMissing);
    sender.start();
    world.agree();
  });

  test('knows after a crash half-way that its state is of no use, and gets it again', () => {
    const world = new ReplicaWorld({ seed: 'half-way', checkpointIntervalMs: 100 });
    const follower = laggard(world);
    let chunks = 0;
    world.filter = (message) => !isChunk(message) || ++chunks < 4;
    follower.start();
    world.until('the state is on its way', () => follower.replica.stateMissing);
    world.pass(500);
    follower.crash();
    follower.start();
    expect(follower.replica.stateMissing).toBe(true);
    const read = world.request(['GET', 'before']);
    follower.replica.readStale(read);
    follower.replica.enqueueFollowerRead(read);
    expect(read.outcomes).toEqual([{ refused: 'not-leader' }, { refused: 'not-leader' }]);
    world.filter = () => true;
    world.agree();
  });

  test('survives a crash at any point of it', () => {
    for (let point = 0; point < 40; point++) {
      const world = new ReplicaWorld({ seed: `point-${point}`, checkpointIntervalMs: 50 + point * 3 });
      const follower = laggard(world, 20);
      let left = point;
      world.seen = (message) => {
        if (message.to === follower.id && isChunk(message)) left--;
      };
      follower.start();
      world.until('the point is reached', () => left <= 0 || follower.replica.durableIndex > 15);
      world.pass(point % 7);
      follower.crash(point % 2 === 0 ? 'lose' : 'tear');
      follower.start();
      world.agree();
    }
  });
});

describe('a receiver', () => {
  test('does not listen to chunks of an older term, of nobody’s snapshot, or after a gap', () => {
    const world = new ReplicaWorld({ seed: 'foreign' });
    const follower = laggard(world);
    const chunks: Buffer[] = [];
    world.filter = (message) => {
      if (!isChunk(message)) return true;
      chunks.push(Buffer.from(message.body));
      return false;
    };
    follower.start();
    world.until('chunks were caught', () => chunks.length >= 4);
    const leader = world.leader();
    // Without a head there is no snapshot, whatever the number says.
    for (const body of chunks.slice(1)) follower.replica.receiveSnapshotChunk(leader.id, body);
    expect(follower.replica.stateMissing).toBe(false);
    follower.replica.receiveSnapshotChunk(leader.id, chunks[0]!);
    expect(follower.replica.stateMissing).toBe(true);
    const before = follower.digests();
    follower.replica.receiveSnapshotChunk(leader.id, chunks[2]!);
    const other = world.members.find((member) => member !== leader && member !== follower)!;
    follower.replica.receiveSnapshotChunk(other.id, chunks[1]!);
    expect(follower.digests()).toEqual(before);
    world.filter = () => true;
    world.agree();
  });

  test('needs no snapshot that is not newer than what it has applied', () => {
    const world = new ReplicaWorld({ seed: 'older' });
    const follower = laggard(world);
    let head: Buffer | undefined;
    world.seen = (message) => {
      if (isChunk(message)) head ??= Buffer.from(message.body);
    };
    follower.start();
    world.agree();
    world.run('SET', 'after', 'x');
    world.agree();
    const leader = world.leader();
    follower.crash();
    follower.start();
    world.agree();
    follower.replica.receiveSnapshotChunk(leader.id, head!);
    expect(follower.replica.stateMissing).toBe(false);
  });

  test('takes no state that is older than the log it keeps, so that it can start again at any time', () => {
    const world = new ReplicaWorld({ seed: 'older-state', checkpointIntervalMs: 100 });
    const follower = laggard(world);
    // The follower loses its state half-way, and keeps a log that begins at what it had durably.
    let chunks = 0;
    world.filter = (message) => !isChunk(message) || ++chunks < 2;
    follower.start();
    world.until('the state is on its way', () => follower.replica.stateMissing);
    world.pass(300);
    // A head of the present leader, but of a state before that: as of a leader that has only just begun to apply its log.
    const leader = world.leader();
    expect(follower.life.log.group(1).firstIndex()).toBeGreaterThan(2);
    const { term } = leader.replica;
    for (const body of oldSnapshot(term, leader.replica.machine.encodeHead()))
      follower.replica.receiveSnapshotChunk(leader.id, body);
    // The checkpoint that would make it durable, and no later one.
    const { commits } = follower;
    world.until('a checkpoint is durable', () => follower.commits > commits);
    follower.crash();
    expect(() => follower.start()).not.toThrow();
    world.filter = () => true;
    world.agree();
  });
});

/** Head and end of a snapshot as of index 1. */
function oldSnapshot(term: number, head: Buffer): Buffer[] {
  const snapshotId = 7;
  const writer = new ByteWriter(64);
  encodeChunkHeader(writer, { snapshotId, term, number: 0, type: CHUNK.head });
  writer.varint(1);
  writer.varint(1);
  writer.bytes(head);
  const first = writer.take();
  encodeChunkHeader(writer, { snapshotId, term, number: 1, type: CHUNK.end });
  return [first, writer.take()];
}
