/**
 * Reads all connections of a server through one buffer.
 *
 * Node.js allocates 64 KiB for each read of a socket and cuts off what was not filled: with many clients of small requests
 * a tenth of what a request costs (docs/decisions/shared-read-buffer.md). A socket may be given a buffer to read into
 * (`onread`), but only where it is made, and a server makes its sockets itself. So an accepted connection is moved to a socket
 * of ours, with the `handle` option that Node.js uses for accepted connections too. That option is not documented: where
 * things are not as expected the connection stays in the socket that it came in, and is merely slower.
 *
 * Invariants:
 * - what `onData` gets is its own to keep: the shared buffer is copied from before the next read;
 * - the accepted socket ends when ours does, so that its server counts right.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

/** What Node.js reads at once without us. */
const READ_BYTES = 64 * 1024;

interface HandleOptions extends SocketConstructorOpts {
  readonly handle: object;
  readonly onread: OnReadOpts;
}

/** The connection under a socket, if it can read into a given buffer. */
function handleOf(socket: Socket): object | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  return typeof Reflect.get(handle, 'useUserBuffer') === 'function' ? handle : undefined;
}

export class SharedReads {
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);

  /**
   * Starts to read a connection that was accepted paused (`pauseOnConnect`) by a server with `allowHalfOpen`; returns the
   * socket to use from now on.
   */
  adopt(accepted: Socket, onData: (chunk: Buffer) => void): Socket {
    const handle = handleOf(accepted);
    if (handle === undefined) {
      accepted.on('data', onData);
      accepted.resume();
      return accepted;
    }
    Reflect.set(accepted, '_handle', null);
    const buffer = this.#buffer;
    const options: HandleOptions = {
      handle,
      allowHalfOpen: true,
      onread: {
        buffer,
        callback: (length) => {
          const chunk = Buffer.allocUnsafe(length);
          buffer.copy(chunk, 0, 0, length);
          onData(chunk);
          return true;
        },
      },
    };
    const socket = new Socket(options);
    socket.once('close', () => accepted.destroy());
    return socket;
  }
}
