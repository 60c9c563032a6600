/**
 * Durations and sizes as people write them: `500ms`, `10s`, `30m`, `24h`, `7d`; `100b`, `64kb`, `128mb`, `1gb`. Sizes are
 * powers of 1024. A duration needs its unit (only `0` stands without one): a bare number has been taken for seconds by
 * one reader and for milliseconds by the next often enough. A bare size is bytes.
 */

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1024,
  kib: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
  mib: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1024 ** 3,
  gib: 1024 ** 3,
};

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)\s*$/i.exec(text);
  if (match === null) return undefined;
  const unit = match[2]!.toLowerCase();
  if (!Object.hasOwn(units, unit)) return undefined;
  const value = Number(match[1]) * units[unit]!;
  return Number.isInteger(value) && Number.isSafeInteger(value) ? value : undefined;
}

/** Milliseconds, or undefined when the text is no duration. */
export function parseDurationMs(text: string): number | undefined {
  return text.trim() === '0' ? 0 : parse(text, DURATION_UNITS);
}

/** Bytes, or undefined when the text is no size. */
export function parseSizeBytes(text: string): number | undefined {
  return parse(text, SIZE_UNITS);
}

/** The shortest exact text of a duration: 90000 is `90s`, 60000 is `1m`. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return '0s';
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = DURATION_UNITS[unit]!;
    if (durationMs % size === 0) return `${durationMs / size}${unit}`;
  }
  return `${durationMs}ms`;
}

/** The shortest exact text of a size: 65536 is `64kb`. */
export function formatSize(sizeBytes: number): string {
  for (const unit of ['gb', 'mb', 'kb']) {
    const size = SIZE_UNITS[unit]!;
    if (sizeBytes > 0 && sizeBytes % size === 0) return `${sizeBytes / size}${unit}`;
  }
  return `${sizeBytes}b`;
}
