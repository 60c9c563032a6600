/** Serves the example: `npx tsx examples/sessions/server.ts`. */
import { createSessionApp } from './app.js';

const nodes = (
  process.env.QUOIN_NODES ?? 'redis://127.0.0.1:7001,redis://127.0.0.1:7002,redis://127.0.0.1:7003'
).split(',');
const port = Number(process.env.PORT ?? 3000);

const { app } = await createSessionApp(nodes, process.env.SESSION_SECRET ?? 'for trying out only');
app.listen(port, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${port}, sessions in ${nodes.join(' ')}\n`);
});
