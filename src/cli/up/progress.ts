/** Progress of long work: one line that is drawn over on a terminal, plain lines elsewhere, nothing where JSON is wanted. */
import { type CliIo, printLine } from '../io.js';

export interface Progress {
  /** What is going on now. */
  update(text: string): void;
  /** Ends the progress; what was drawn over is removed. */
  end(): void;
}

const FRAMES = ['|', '/', '-', '\\'];
const FRAME_MS = 120;
const CLEAR_LINE = '\r\u001b[K';

export function startProgress(io: CliIo, quiet: boolean): Progress {
  if (quiet) return { update: () => undefined, end: () => undefined };
  let shown = '';
  if (!io.interactive)
    return {
      update: (text) => {
        if (text !== shown) printLine(io.stdout, text);
        shown = text;
      },
      end: () => undefined,
    };
  let frame = 0;
  const draw = (): void => {
    io.stdout.write(`${CLEAR_LINE}${FRAMES[frame++ % FRAMES.length]} ${shown}`);
  };
  const timer = setInterval(draw, FRAME_MS);
  return {
    update: (text) => {
      shown = text;
      draw();
    },
    end: () => {
      clearInterval(timer);
      io.stdout.write(CLEAR_LINE);
    },
  };
}
