// npm `ws` as the foreign peer of an echo program.
//
//     npm_ws.mjs client ws://ADDRESS/PATH [SUBPROTOCOL]
//                             as client of an echo server, and what that speaks, if it does
//     npm_ws.mjs server PROGRAM ARG...    as server; runs `PROGRAM ARG... URL` for each case
//
// Either way this peer drives: it sends, compares what comes back, and closes. Every case is a
// connection of its own and ends in one line, `ok NAME` or `FAIL NAME: why`.
// INTEROP_MODULES names the directory that holds node_modules.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'

const { WebSocket, WebSocketServer } = createRequire(`${process.env.INTEROP_MODULES}/`)('ws')

const SIZES = [0, 1, 125, 126, 65_535, 65_536, 1_000_000]
const MILLISECONDS_PER_CASE = 20_000

// Text of `size` octets with characters of one to four, so that fragments cut through them.
function textOf (size) {
  const characters = 'aé€😀'.repeat(size / 10)
  return Buffer.from(characters.padEnd(characters.length + size - Buffer.byteLength(characters), '.'))
}

function binaryOf (size) {
  return Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff))
}

function fragmentsOf (octets) {
  const step = Math.floor(octets.length / 3) + 1
  return [octets.subarray(0, step), octets.subarray(step, 2 * step), octets.subarray(2 * step)]
}

function check (condition, why) {
  if (!condition) throw new Error(why)
}

function send (ws, octets, options) {
  return new Promise((resolve, reject) =>
    ws.send(octets, options, error => error ? reject(error) : resolve()))
}

// The first event of that name; an end of the connection before it is a failure.
async function event (ws, name) {
  const aborted = new AbortController()
  const { signal } = aborted
  try {
    return await Promise.race([
      once(ws, name, { signal }),
      once(ws, 'close', { signal }).then(([code]) => {
        throw new Error(`closed with ${code} where a ${name} was awaited`)
      })
    ])
  } finally {
    aborted.abort()
  }
}

async function echo (ws, octets, binary, fragmented) {
  const echoed = event(ws, 'message')
  echoed.catch(() => {})
  if (fragmented) {
    const pieces = fragmentsOf(octets)
    for (const [i, piece] of pieces.entries()) {
      await send(ws, piece, { binary, fin: i === pieces.length - 1 })
    }
  } else {
    await send(ws, octets, { binary })
  }
  const [message, isBinary] = await echoed
  check(isBinary === binary, `sent ${binary ? 'binary' : 'text'}, got the other`)
  check(octets.equals(message), `sent ${octets.length} octets, got ${message.length}, or other ones`)
}

async function ping (ws, payload) {
  const ponged = event(ws, 'pong')
  ponged.catch(() => {})
  ws.ping(payload)
  const [answer] = await ponged
  check(payload.equals(answer), `pinged with ${payload.length} octets, got a pong of ${answer.length}, or other ones`)
}

async function pingBetweenFragments (ws) {
  const echoed = event(ws, 'message')
  echoed.catch(() => {})
  await send(ws, Buffer.from('before '), { binary: false, fin: false })
  await ping(ws, Buffer.from('between'))
  await send(ws, Buffer.from('after'), { binary: false, fin: true })
  const [message] = await echoed
  check(message.toString() === 'before after', 'the message around the ping was changed')
}

async function close (ws, ...code) {
  const closed = once(ws, 'close')
  ws.close(...code)
  const [received] = await closed
  // 1005 stands for a Close without a code, 1006 for none at all.
  const expected = code.length > 0 ? code[0] : 1005
  check(received === expected, `closed with ${code[0]}, ${received} came back`)
}

function cases () {
  const list = []
  for (const [kind, make] of [['text', textOf], ['binary', binaryOf]]) {
    for (const size of SIZES) {
      for (const how of ['whole', 'fragmented']) {
        const exchange = ws => echo(ws, make(size), kind === 'binary', how === 'fragmented')
        list.push({ name: `${kind}-${size}-${how}`, exchange, code: [1000] })
      }
    }
  }
  for (const size of [0, 5, 125]) {
    list.push({ name: `ping-${size}`, exchange: ws => ping(ws, binaryOf(size)), code: [1000] })
  }
  list.push({ name: 'ping-between-fragments', exchange: pingBetweenFragments, code: [1000] })
  for (const [name, code] of [
    ['close-1000-reason', [1000, 'that was all']],
    ['close-3000', [3000]],
    ['close-4999', [4999]],
    ['close-without-code', []]
  ]) {
    list.push({ name, exchange: ws => echo(ws, Buffer.from('last'), false, false), code })
  }
  return list
}

async function drive (ws, { exchange, code }) {
  let fault
  ws.on('error', error => { fault = error })
  try {
    await exchange(ws)
    await close(ws, ...code)
  } catch (error) {
    throw fault ?? error
  }
  if (fault) throw fault
}

async function asClient (url, spoken) {
  const subprotocol = {
    name: 'subprotocol',
    offers: ['x.unknown', spoken ?? 'x.other'],
    exchange: async ws => check(ws.protocol === spoken, `agreed on ${ws.protocol}, not on ${spoken}`),
    code: [1000]
  }
  return each(async (one, signal) => {
    const ws = new WebSocket(`${url}?${one.name}`, one.offers ?? [], { perMessageDeflate: false })
    signal.addEventListener('abort', () => ws.terminate())
    try {
      await once(ws, 'open', { signal })
      await drive(ws, one)
    } catch (error) {
      // By itself it does not go without, although the server let it.
      if (one.offers && !spoken && error.message === 'Server sent no subprotocol') return
      throw error
    } finally {
      ws.terminate()
    }
  }, [...cases(), subprotocol])
}

async function asServer ([program, ...args]) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  await once(server, 'listening')
  const { port } = server.address()
  const failed = await each(async (one, signal) => {
    let served = false
    const driven = once(server, 'connection', { signal }).then(([ws]) => {
      served = true
      signal.addEventListener('abort', () => ws.terminate())
      return drive(ws, one)
    })
    const client = spawn(program, [...args, `ws://127.0.0.1:${port}/${one.name}`],
      { stdio: ['ignore', 'ignore', 'inherit'] })
    const ended = new Promise((resolve, reject) => {
      client.on('error', reject)
      client.on('exit', (status, by) => resolve(status ?? by))
    })
    const never = ended.then(status => {
      if (served) return driven
      throw new Error(`the client ended with status ${status} before it was served`)
    })
    driven.catch(() => {})
    ended.catch(() => {})
    try {
      await Promise.race([driven, never])
      const status = await ended
      check(status === 0, `the client ended with status ${status} after a proper Close`)
    } finally {
      client.kill('SIGKILL')
    }
  })
  server.close()
  return failed
}

async function each (run, which = cases()) {
  let failed = 0
  for (const one of which) {
    const aborted = new AbortController()
    let timer
    try {
      const late = new Promise((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error('it did not end in its time')), MILLISECONDS_PER_CASE)
      })
      await Promise.race([run(one, aborted.signal), late])
      console.log(`ok ${one.name}`)
    } catch (error) {
      console.log(`FAIL ${one.name}: ${String(error.message).replace(/\s+/g, ' ')}`)
      failed += 1
    } finally {
      clearTimeout(timer)
      aborted.abort()
    }
  }
  return failed
}

const [role, ...rest] = process.argv.slice(2)
if (role === 'client' && (rest.length === 1 || rest.length === 2)) {
  process.exitCode = await asClient(...rest) ? 1 : 0
} else if (role === 'server' && rest.length > 0) {
  process.exitCode = await asServer(rest) ? 1 : 0
} else {
  console.error('usage: npm_ws.mjs client ws://ADDRESS/PATH [SUBPROTOCOL] | npm_ws.mjs server PROGRAM ARG...')
  process.exitCode = 2
}
