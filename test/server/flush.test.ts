import { describe, expect, test } from 'vitest';
import { QuoinError } from '../../src/base/errors.js';
import { type FlushHost, flushEventual } from '../../src/server/flush.js';
import type { Request } from '../../src/server/types.js';
import { ErrorReply, OK, type Reply } from '../../src/store/reply.js';
import type { BucketDescription } from '../../src/store/types.js';
import { quorumBucket } from '../store/quorum-support.js';
import { bucketOf, command, plain } from '../support/test-machine.js';

const RAFT = bucketOf(0);
const BUCKETS = [RAFT, quorumBucket(1), quorumBucket(2)];

/** Carries out a flush; what failed is named in `failing`. */
async function flush(
  name: string,
  bucket: BucketDescription,
  options: { buckets?: BucketDescription[]; failing?: string[]; ofGroups?: Reply; fence?: number } = {},
) {
  const flushed: (readonly [string, number])[] = [];
  const submitted: string[] = [];
  const host: FlushHost = {
    fence: () => options.fence ?? 77,
    buckets: () => options.buckets ?? BUCKETS,
    flushBucket: async (bucketName, version) => {
      if (options.failing?.includes(bucketName)) throw new QuoinError('NO_LEADER', 'nobody decides');
      flushed.push([bucketName, version]);
    },
    submitToGroups: (request) => {
      submitted.push(request.bucket.name);
      request.completion.complete(options.ofGroups ?? OK);
    },
  };
  const replies: Reply[] = [];
  const request: Request = {
    definition: command(name),
    bucket,
    args: [],
    completion: { complete: (reply) => replies.push(reply) },
    consistency: 'linearizable',
    ordered: false,
    session: undefined,
  };
  const isTaken = flushEventual(request, host);
  await new Promise((resolve) => setImmediate(resolve));
  return { isTaken, flushed, submitted, replies: replies.map(plain) };
}

describe('a flush', () => {
  test('of an eventual bucket names the version up to which all goes', async () => {
    expect(await flush('flushdb', quorumBucket(2))).toEqual({
      isTaken: true,
      flushed: [['bucket 2', 77]],
      submitted: [],
      replies: ['+OK'],
    });
  });

  test('of a linearizable bucket is left to its groups', async () => {
    const { isTaken, flushed, replies } = await flush('flushdb', RAFT);
    expect({ isTaken, flushed, replies }).toEqual({ isTaken: false, flushed: [], replies: [] });
  });

  test('of all buckets goes both ways, whichever bucket is selected', async () => {
    for (const bucket of BUCKETS) {
      const { flushed, submitted, replies } = await flush('flushall', bucket);
      expect(flushed).toEqual([
        ['bucket 1', 77],
        ['bucket 2', 77],
      ]);
      expect(submitted).toEqual(['default']);
      expect(replies).toEqual(['+OK']);
    }
  });

  test('is left to the groups where there is no eventual bucket', async () => {
    expect((await flush('flushall', RAFT, { buckets: [RAFT] })).isTaken).toBe(false);
  });

  test('that failed altogether says why; one that was carried out in part says that', async () => {
    const none = await flush('flushdb', quorumBucket(1), { failing: ['bucket 1'] });
    expect(none.replies).toEqual([expect.stringContaining('nobody decides')]);
    expect(none.replies).not.toEqual([expect.stringMatching(/^-UNKNOWN/)]);
    const half = await flush('flushall', RAFT, { failing: ['bucket 1'] });
    expect(half.replies).toEqual([expect.stringMatching(/^-UNKNOWN .*in part/)]);
    const groupsFailed = await flush('flushall', RAFT, { ofGroups: ErrorReply.of('NO_LEADER', 'no leader') });
    expect(groupsFailed.replies).toEqual([expect.stringMatching(/^-UNKNOWN .*in part/)]);
  });

  test('is refused where this node has no version behind all that is stored', async () => {
    const { isTaken, flushed, replies } = await flush('flushdb', quorumBucket(1), { fence: 0 });
    expect(isTaken).toBe(true);
    expect(flushed).toEqual([]);
    expect(replies).toEqual([expect.stringMatching(/clock/)]);
  });
});
