// engine.mjs - job schedulers of drover's engine, called without a worker.
import { spawn } from 'node:child_process';
import * as path from 'node:path';
import { build } from './rig.mjs';

/** drover's engine over a pipe (tests/support/schedule.c). */
export class Engine {
  constructor(rig, prefix, queue) {
    this.child = spawn(path.join(build, 'tests', 'support', 'schedule'), [rig.socket, prefix, queue], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.waiting = [];
    let rest = '';
    this.child.stdout.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.forEach((line) => this.waiting.shift().resolve(JSON.parse(line)));
    });
    this.child.on('close', (code, signal) => this.waiting.forEach((w) => w.reject(new Error(`the engine ended: ${code ?? signal}`))));
    rig.ends.push(async () => { this.child.stdin.end(); });
  }

  ask(line) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.child.stdin.write(`${JSON.stringify(line)}\n`);
    });
  }
}
