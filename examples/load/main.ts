/** Runs the example: `npx tsx examples/load/main.ts [write port] [read port] [word list]`. */
import { DEFAULT_WORDS, loadDictionary, verifyDictionary } from './dictionary.js';

const [writePort = '7001', readPort = '7002', path = DEFAULT_WORDS] = process.argv.slice(2);

const loadStarted = performance.now();
const { words, errors } = await loadDictionary(path, Number(writePort));
const loadSeconds = ((performance.now() - loadStarted) / 1000).toFixed(1);
process.stdout.write(
  `${words} words loaded through port ${writePort} in ${loadSeconds} s, ${errors} errors\n`,
);

const readStarted = performance.now();
const verified = await verifyDictionary(path, Number(readPort));
const readSeconds = ((performance.now() - readStarted) / 1000).toFixed(1);
process.stdout.write(
  `${verified.words} words read through port ${readPort} in ${readSeconds} s, ${verified.wrong.length} wrong\n`,
);
process.exitCode = errors === 0 && verified.wrong.length === 0 ? 0 : 1;
