// jobs.mjs - the long-lived program of the measurement "100 jobs at once": an asynchronous function per job that does nothing.
import readline from 'node:readline';

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const run = async () => null;

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === 'initialize') send({ id, result: { protocol: 1, name: 'jobs' } });
  else if (method === 'job.run') send({ id, result: await run(params) });
});
