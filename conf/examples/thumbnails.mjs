#!/usr/bin/env node
// Handler for thumbnails.yaml: {"from": PATH, "to": PATH} makes a smaller picture. Speaks docs/protocols/handler.md.
import { spawn } from 'node:child_process'
import { rename, rm, stat } from 'node:fs/promises'
import readline from 'node:readline'

const convert = process.env.CONVERT ?? '/usr/bin/convert'
const width = Number(process.env.WIDTH ?? 320)
const RETRY = -32001, PERMANENT = -32002, CANCELLED = -32004

console.log = console.error // standard output is for the protocol
const running = new Map() // request id -> AbortController
const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n')
const failure = (code, message) => Object.assign(new Error(message), { code })

// Ends with the program's exit; its last words become the reason of a failure.
function run(argv, signal) {
  return new Promise((resolve, reject) => {
    let words = ''
    const child = spawn(argv[0], argv.slice(1), { signal, stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr.on('data', (chunk) => { words = (words + chunk).slice(-1000) })
    child.on('error', (error) => reject(failure(signal.aborted ? CANCELLED : RETRY, error.message)))
    child.on('close', (code) => code === 0 ? resolve() : reject(failure(RETRY, words.trim() || `${argv[0]}: exit code ${code}`)))
  })
}

async function resize(id, { data, idempotency_key: key }, signal) {
  if (typeof data?.from !== 'string' || typeof data?.to !== 'string') throw failure(PERMANENT, 'data needs "from" and "to"')
  const found = await stat(data.from).catch(() => null)
  if (!found) throw failure(PERMANENT, `there is no ${data.from}`)
  // Written beside its place and renamed: nobody sees half a picture, and a second attempt writes the same file again.
  const slash = data.to.lastIndexOf('/') + 1
  const draft = `${data.to.slice(0, slash)}.${encodeURIComponent(key)}.${data.to.slice(slash)}`
  const beat = setInterval(() => send({ method: 'job.heartbeat', params: { id } }), 10_000)
  try {
    await run([convert, data.from, '-thumbnail', `${width}x`, draft], signal)
    await rename(draft, data.to)
  } finally {
    clearInterval(beat)
    await rm(draft, { force: true })
  }
  return { bytes_before: found.size, bytes: (await stat(data.to)).size }
}

async function answer(id, job) {
  const abort = new AbortController()
  running.set(id, abort)
  try {
    send({ id, result: await resize(id, job, abort.signal) })
  } catch (error) {
    send({ id, error: { code: Number.isInteger(error.code) ? error.code : RETRY, message: error.message } })
  }
  running.delete(id)
}

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const { id, method, params } = JSON.parse(line)
  if (method === 'initialize') send({ id, result: { protocol: 1, name: 'thumbnails' } })
  else if (method === 'job.run') answer(id, params)
  else if (method === 'job.cancel') running.get(params.id)?.abort()
})
lines.on('close', () => process.exit(0))
