import { describe, expect, test } from 'vitest';
import type { Disk, DiskFile } from '../../src/env/env.js';
import { openLog } from '../../src/log/write-ahead-log.js';
import { MESSAGE } from '../../src/replica/peers/frame.js';
import { type AwaitingSync, Pump, type Pumped } from '../../src/replica/pump.js';
import { quietHub } from '../support/hub.js';
import { type ManualEnv, manualEnv, quietDisk } from './support/manual-env.js';

/** A disk that notes syncs, and fails them from a moment on. */
class WatchedDisk {
  syncs = 0;
  broken = false;

  view(events: string[]): Disk {
    const disk = quietDisk();
    const open = disk.open.bind(disk);
    disk.open = (path, options) => {
      const file: DiskFile = open(path, options);
      const sync = file.syncBlocking.bind(file);
      file.syncBlocking = () => {
        if (this.broken) throw new Error('the disk is gone');
        this.syncs++;
        events.push('sync');
        sync();
      };
      return file;
    };
    return disk;
  }
}

class Fixture {
  readonly events: string[] = [];
  readonly disk = new WatchedDisk();
  readonly env: ManualEnv = manualEnv('pump', this.disk.view(this.events));
  readonly hub = quietHub(this.env);
  readonly log = openLog(this.env.disk, this.env.clock, '/log', { syncStrategy: 'blocking' });
  readonly failures: Error[] = [];
  readonly pump = new Pump(this.env.clock, this.log, this.hub, (error) => this.failures.push(error));

  constructor() {
    this.hub.setCluster('test', 1);
    this.hub.setPeers([{ id: 'n2', grpc: 'n2:9001' }]);
    const link = this.env.network.dialled('n2:9001');
    link.open();
    const send = link.send.bind(link);
    link.send = (frame) => {
      this.events.push('frame');
      return send(frame);
    };
    this.events.length = 0;
    this.disk.syncs = 0;
  }

  /** A replica with something to write, that notes what is asked of it. */
  replica(name: string, group: number, writes = true): Pumped {
    let index = 0;
    return {
      gather: () => this.events.push(`${name} gathers`),
      collect: (awaiting: AwaitingSync[]) => {
        this.events.push(`${name} collects`);
        this.hub.sendMessage('n2', MESSAGE.raft, group, Buffer.from('append'));
        if (!writes) return;
        index++;
        this.log.append(group, [{ index, term: 1, payload: Buffer.from('x') }]);
        awaiting.push({
          replica: this.#find(name),
          lastIndex: index,
          lastTerm: 1,
          messages: [{ to: 'n2', message: { kind: 'vote-response', term: 1, granted: true } }],
        });
      },
      applyCommitted: () => this.events.push(`${name} applies`),
      sendAfterPersist: (messages) => {
        this.events.push(`${name} promises ${messages.length}`);
        this.hub.sendMessage('n2', MESSAGE.raft, group, Buffer.from('promise'));
      },
      persisted: (last, term) => this.events.push(`${name} has ${last}/${term}`),
    };
  }

  readonly #replicas = new Map<string, Pumped>();

  add(name: string, group: number, writes = true): Pumped {
    const replica = this.replica(name, group, writes);
    this.#replicas.set(name, replica);
    return replica;
  }

  #find(name: string): Pumped {
    return this.#replicas.get(name)!;
  }
}

describe('a turn', () => {
  test('gathers, sends what promises nothing, makes durable what was written, and then promises', () => {
    const fixture = new Fixture();
    fixture.pump.markDirty(fixture.add('a', 1));
    expect(fixture.events).toEqual([]);
    fixture.env.clock.turn();
    expect(fixture.events).toEqual(['a gathers', 'a collects', 'frame', 'a applies']);
    fixture.events.length = 0;
    fixture.env.clock.turn();
    expect(fixture.events).toEqual(['sync', 'a has 1/1', 'a promises 1', 'frame']);
  });

  test('serves all replicas with one frame to each peer and one sync', () => {
    const fixture = new Fixture();
    for (const [group, name] of ['a', 'b', 'c'].entries())
      fixture.pump.markDirty(fixture.add(name, group + 1));
    fixture.env.clock.turn();
    expect(fixture.events.filter((event) => event === 'frame')).toHaveLength(1);
    expect(fixture.events.slice(0, 6)).toEqual([
      'a gathers',
      'b gathers',
      'c gathers',
      'a collects',
      'b collects',
      'c collects',
    ]);
    fixture.env.clock.turn();
    expect(fixture.disk.syncs).toBe(1);
    expect(fixture.events.filter((event) => event.endsWith('promises 1'))).toHaveLength(3);
  });

  test('takes each replica once, however often it is marked, and only what is marked', () => {
    const fixture = new Fixture();
    const a = fixture.add('a', 1, false);
    fixture.add('b', 2, false);
    for (let i = 0; i < 5; i++) fixture.pump.markDirty(a);
    fixture.env.clock.run();
    expect(fixture.events).toEqual(['a gathers', 'a collects', 'frame', 'a applies']);
    expect(fixture.disk.syncs).toBe(0);
    fixture.pump.schedule();
    fixture.env.clock.run();
    expect(fixture.events).toHaveLength(4);
  });

  test('leaves to the next turn what is marked during it', () => {
    const fixture = new Fixture();
    const a = fixture.add('a', 1, false);
    const b: Pumped = { ...fixture.replica('b', 2, false), gather: () => fixture.pump.markDirty(a) };
    fixture.pump.markDirty(b);
    fixture.env.clock.turn();
    expect(fixture.events).not.toContain('a gathers');
    fixture.env.clock.turn();
    expect(fixture.events).toContain('a gathers');
  });

  test('lets a replica go on after its sync', () => {
    const fixture = new Fixture();
    fixture.pump.markDirty(fixture.add('a', 1));
    fixture.env.clock.turn();
    fixture.env.clock.turn();
    fixture.events.length = 0;
    fixture.env.clock.turn();
    expect(fixture.events[0]).toBe('a gathers');
  });
});

describe('after the log has failed', () => {
  test('nothing is promised, sent or applied any more, and that is told once', () => {
    const fixture = new Fixture();
    const a = fixture.add('a', 1);
    fixture.disk.broken = true;
    fixture.pump.markDirty(a);
    fixture.env.clock.turn();
    fixture.events.length = 0;
    fixture.env.clock.run();
    fixture.pump.markDirty(a);
    fixture.pump.schedule();
    fixture.env.clock.run();
    expect(fixture.events).toEqual([]);
    expect(fixture.failures).toHaveLength(1);
  });
});

describe('a stopped pump', () => {
  test('does nothing, not even with a sync that was under way', () => {
    const fixture = new Fixture();
    fixture.pump.markDirty(fixture.add('a', 1));
    fixture.env.clock.turn();
    fixture.events.length = 0;
    fixture.pump.stop();
    fixture.env.clock.run();
    expect(fixture.events).toEqual(['sync']);
    expect(fixture.failures).toEqual([]);
  });
});
