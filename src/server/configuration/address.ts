/**
 * `host:port` addresses: `127.0.0.1:7001`, `db-1.example:7001`, `[::1]:7001`. Port 0 asks the system for a free one.
 */

export interface HostAndPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const HOST_NAME = /^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$/;
const IPV6 = /^(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?$/;

/** True for a host as it may stand before a port, brackets apart. */
export function isHost(text: string): boolean {
  return text.includes(':') ? IPV6.test(text) : HOST_NAME.test(text);
}

/** The parts, or undefined when the text is no address. */
export function parseAddress(text: string): HostAndPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? match[2]!;
  const port = Number(match[3]);
  if (port > 65535 || !isHost(host)) return undefined;
  if (match[1] !== undefined && !host.includes(':')) return undefined;
  return { host, port };
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for the hosts that mean 'every interface', which nobody can dial. */
export function isWildcardHost(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || /^[0:]+$/.test(host);
}
