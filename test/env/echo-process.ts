/** A process that listens on the real network, prints its address and echoes every frame. */
import { realEnv } from '../../src/env/real/index.js';

const listener = await realEnv().network.listen('127.0.0.1:0', (link) => ({
  onFrame: (frame) => {
    link.send(frame);
  },
  onDrain: () => {},
  onClose: () => {},
}));
process.stdout.write(`${listener.address}\n`);
