/**
 * The network between nodes: gRPC (`proto/quoin/v1/peer.proto`), one HTTP/2 connection with one stream for each dialled
 * link.
 *
 * Invariants: one `dial` is one attempt; every dialled link ends in exactly one `onClose`, or in its owner's `close()`.
 * A process that dies closes its sockets, and the kernel tells: that is `reset`, at once. One that is silent but whose
 * machine still holds the connection (stopped, paging, in a long turn of its loop) is given the keepalive time below
 * before it counts as gone.
 * Departures from gRPC's habits: no retries, no shared connections, no reconnecting behind the caller's back, no HTTP
 * proxy from the environment, because what a failed link means is for the caller to decide.
 */
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials,
  logVerbosity,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type StatusObject,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
import { QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import type { Link, LinkCloseReason, LinkEvents, Listener, Network } from '../env.js';
import { decodeFrame, encodeFrame } from './frame-codec.js';
import { GrpcLink } from './grpc-link.js';

/** A dialled link that is not open by then is given up. */
const DIAL_TIMEOUT_MS = 5_000;
/** After so long without a sign of life the peer is asked for one (an HTTP/2 ping) ... */
const KEEPALIVE_TIME_MS = 5_000;
/** ... and given so long to answer. Far beyond any turn of an event loop, and beyond an election: no hair trigger. */
const KEEPALIVE_TIMEOUT_MS = 10_000;
/** How long frames sent before `close()` may take to leave. */
const LINGER_MS = 1_000;
/** Receive window of a stream: enough for snapshots to run at full speed over a distance, and a bound on memory. */
const FLOW_CONTROL_WINDOW_BYTES = 2 * 1024 * 1024;

// gRPC writes to standard error what it also throws; here every failure is told once, as an error or a close reason.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

const LINK_PATH = '/quoin.v1.Peer/Link';

const LINK_METHOD = {
  path: LINK_PATH,
  requestStream: true,
  responseStream: true,
  requestSerialize: encodeFrame,
  requestDeserialize: decodeFrame,
  responseSerialize: encodeFrame,
  responseDeserialize: decodeFrame,
} as const;

const PEER_SERVICE: ServiceDefinition = { Link: LINK_METHOD };

const COMMON_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': LIMITS.maxPeerMessageBytes,
  'grpc.max_send_message_length': LIMITS.maxPeerMessageBytes,
  'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.enable_channelz': 0,
  'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
};

const CLIENT_OPTIONS: ChannelOptions = {
  ...COMMON_OPTIONS,
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** How links are secured; plain text by default. */
export interface GrpcNetworkOptions {
  readonly channelCredentials?: ChannelCredentials;
  readonly serverCredentials?: ServerCredentials;
}

/** Splits `host:port` (`[::1]:9001` too). */
function portOf(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || colon === address.length - 1 || !Number.isInteger(port) || port < 0 || port > 65535)
    throw new QuoinError('CONFIG_INVALID', `'${address}' is no address: host:port is needed`);
  return { host: address.slice(0, colon), port };
}

/** What a finished stream's status says of the peer. */
function closeReason(outcome: StatusObject): LinkCloseReason {
  const { code, details } = outcome;
  if (code === status.OK) return 'closed';
  if (/ECONNREFUSED/.test(details)) return 'refused';
  if (/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|resolution fail|keepalive/i.test(details))
    return 'unreachable';
  if (code === status.UNAVAILABLE || code === status.CANCELLED) return 'reset';
  if (/ECONNRESET|EPIPE|socket|RST_STREAM/.test(details)) return 'reset';
  return 'rejected';
}

function listenError(address: string, error: unknown): QuoinError {
  const text = error instanceof Error ? error.message : String(error);
  if (text.includes('EADDRINUSE'))
    return new QuoinError('ADDRESS_IN_USE', `cannot listen on ${address}: the port is in use`, {
      cause: error,
    });
  return new QuoinError('CONFIG_INVALID', `cannot listen on ${address}: ${text}`, { cause: error });
}

class GrpcListener implements Listener {
  readonly address: string;
  readonly #server: Server;
  readonly #links: Set<GrpcLink>;

  constructor(address: string, server: Server, links: Set<GrpcLink>) {
    this.address = address;
    this.#server = server;
    this.#links = links;
  }

  close(): Promise<void> {
    for (const link of [...this.#links]) link.shutDown();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, LINGER_MS);
      this.#server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

export class GrpcNetwork implements Network {
  readonly #channelCredentials: ChannelCredentials;
  readonly #serverCredentials: ServerCredentials;

  constructor(options: GrpcNetworkOptions = {}) {
    this.#channelCredentials = options.channelCredentials ?? credentials.createInsecure();
    this.#serverCredentials = options.serverCredentials ?? ServerCredentials.createInsecure();
  }

  async listen(address: string, accept: (link: Link) => LinkEvents): Promise<Listener> {
    const { host } = portOf(address);
    const server = new Server(COMMON_OPTIONS);
    const links = new Set<GrpcLink>();
    server.addService(PEER_SERVICE, {
      Link: (call: ServerDuplexStream<Buffer, Uint8Array>) => acceptLink(call, links, accept),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(address, this.#serverCredentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(listenError(address, error));
      });
    });
    return new GrpcListener(`${host}:${port}`, server, links);
  }

  dial(address: string, events: LinkEvents): Link {
    portOf(address);
    const client = new Client(`dns:${address}`, this.#channelCredentials, CLIENT_OPTIONS);
    const call = client.makeBidiStreamRequest<Uint8Array, Buffer>(
      LINK_PATH,
      encodeFrame,
      decodeFrame,
      new Metadata(),
    );
    let over = false;
    let dialTimedOut = false;
    const dialTimer = setTimeout(() => {
      dialTimedOut = true;
      call.cancel();
    }, DIAL_TIMEOUT_MS);
    const link = new GrpcLink(address, {
      write: (frame, written) => call.write(frame, written),
      end: () => {
        clearTimeout(dialTimer);
        call.end();
        if (!over) setTimeout(() => call.cancel(), LINGER_MS).unref();
      },
    });
    link.attach(events);
    call.on('metadata', () => {
      clearTimeout(dialTimer);
      link.opened();
    });
    call.on('data', (frame: Buffer) => link.received(frame));
    // Failures arrive as a status too; without a listener the event would end the process.
    call.on('error', () => {});
    const finish = (reason: LinkCloseReason): void => {
      over = true;
      clearTimeout(dialTimer);
      client.close();
      link.ended(reason);
    };
    call.on('status', (outcome: StatusObject) => {
      if (dialTimedOut) finish('unreachable');
      // After a clean end frames may still wait in the stream: they come before the end does.
      else if (outcome.code === status.OK && !call.readableEnded) call.once('end', () => finish('closed'));
      else finish(closeReason(outcome));
    });
    return link;
  }
}

function acceptLink(
  call: ServerDuplexStream<Buffer, Uint8Array>,
  links: Set<GrpcLink>,
  accept: (link: Link) => LinkEvents,
): void {
  const link = new GrpcLink(call.getPeer(), {
    write: (frame, written) => call.write(frame, written),
    end: () => call.end(),
  });
  links.add(link);
  const finish = (reason: LinkCloseReason): void => {
    links.delete(link);
    link.ended(reason);
  };
  call.on('data', (frame: Buffer) => link.received(frame));
  call.on('end', () => {
    finish('closed');
    call.end();
  });
  call.on('cancelled', () => finish('reset'));
  call.on('close', () => finish('reset'));
  call.on('error', () => finish('rejected'));
  // The headers tell the dialling side that its link is open.
  call.sendMetadata(new Metadata());
  link.attach(accept(link));
}
