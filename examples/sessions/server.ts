/** Serves the example: `npx tsx examples/sessions/server.ts`. */
import { createSessionApp } from './app.js';

const nodes = (
  process.env.QUOIN_NODES ?? 'redis://127.0.0.1:7001,redis://127.0.0.1:7002,redis://127.0.0.1:7003'
).split(',');
const port = Number(process.env.PORT ?? 3000);
const bucket = Number(process.env.QUOIN_BUCKET ?? 0);
const eventual = process.env.QUOIN_EVENTUAL === 'yes';

const secret = process.env.SESSION_SECRET ?? 'for trying out only';
const { app } = await createSessionApp(nodes, secret, { bucket, eventual });
app.listen(port, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${port}, sessions in ${nodes.join(' ')}\n`);
});
