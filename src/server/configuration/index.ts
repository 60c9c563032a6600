/** Configuration of a node: see `types.ts` for what comes out, `schema.ts` for what may go in. */
export { formatAddress, parseAddress } from './address.js';
export { parseBucket, parseBucketChanges } from './buckets.js';
export { checkConfiguration, parseConfiguration } from './parse.js';
export { nearest } from './suggestion.js';
export { defaultConfiguration, type LogLevel, type NodeConfiguration } from './types.js';
export { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from './units.js';
