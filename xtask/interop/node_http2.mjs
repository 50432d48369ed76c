// Node's `http2` as a foreign client of the example `http2`, with frames that are made by hand.
//
//     node_http2.mjs HOST:PORT

import { randomBytes } from 'node:crypto'
import http2 from 'node:http2'

import { address, check, event, run, same, sleep, until } from './examples/cases.mjs'

const { NGHTTP2_CANCEL } = http2.constants
const [TEXT, BINARY, CLOSE, PING, PONG] = [1, 2, 8, 9, 10]

async function connect () {
  const session = http2.connect(`https://${address}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  const settings = await event(session, 'remoteSettings')
  check(settings.enableConnectProtocol, 'the settings have no extended CONNECT')
  return session
}

// A masked frame of a client.
function frame (opcode, payload, { fin = true, masked = true } = {}) {
  payload = Buffer.from(payload)
  const { length } = payload
  const size = length < 126 ? 0 : length < 65_536 ? 2 : 8
  const head = Buffer.alloc(2 + size)
  head[0] = (fin ? 0x80 : 0) | opcode
  head[1] = (masked ? 0x80 : 0) | (size === 0 ? length : size === 2 ? 126 : 127)
  if (size === 2) head.writeUInt16BE(length, 2)
  if (size === 8) head.writeBigUInt64BE(BigInt(length), 2)
  if (!masked) return Buffer.concat([head, payload])
  const key = randomBytes(4)
  return Buffer.concat([head, key, payload.map((octet, i) => octet ^ key[i % 4])])
}

class Stream {
  #input = Buffer.alloc(0)
  #wake = () => {}

  constructor (stream, headers) {
    Object.assign(this, { stream, headers, ended: false })
    stream.on('data', data => {
      this.#input = Buffer.concat([this.#input, data])
      this.#wake()
    })
    stream.on('error', () => {})
    for (const name of ['end', 'close']) {
      stream.on(name, () => {
        this.ended = true
        this.#wake()
      })
    }
  }

  send (...frames) {
    this.stream.write(Buffer.concat(frames))
  }

  // The next frame, `null` at the end.
  async frame () {
    for (;;) {
      const input = this.#input
      if (input.length >= 2) {
        check(!(input[1] & 0x80), 'a frame of the server is masked')
        const short = input[1] & 0x7f
        const size = short < 126 ? 0 : short === 126 ? 2 : 8
        if (input.length >= 2 + size) {
          const length = size === 0 ? short : size === 2 ? input.readUInt16BE(2) : Number(input.readBigUInt64BE(2))
          const end = 2 + size + length
          if (input.length >= end) {
            this.#input = input.subarray(end)
            return { fin: input[0] >> 7 === 1, opcode: input[0] & 15, payload: input.subarray(2 + size, end) }
          }
        }
      }
      if (this.ended) return null
      await new Promise(resolve => { this.#wake = resolve })
    }
  }

  async expect (opcode, payload) {
    const got = await this.frame()
    check(got, 'the stream ended')
    same([got.fin, got.opcode, got.payload.length], [true, opcode, Buffer.from(payload).length])
    check(got.payload.equals(Buffer.from(payload)), 'another payload came')
  }

  async echoes (opcode, payload) {
    this.send(frame(opcode, payload))
    await this.expect(opcode, payload)
  }

  async expectClose (code) {
    const got = await this.frame()
    same([got?.opcode, got?.payload.readUInt16BE(0)], [CLOSE, code])
  }
}

async function ask (session, headers, options = {}) {
  const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/echo', 'sec-websocket-version': '13', ...headers }, options)
  stream.on('error', () => {})
  const answer = await event(stream, 'response')
  return { stream, answer }
}

async function open (session, path = '/echo', headers = {}) {
  const { stream, answer } = await ask(session, { ':path': path, ...headers })
  same(answer[':status'], 200)
  for (const name of ['connection', 'upgrade', 'sec-websocket-accept']) {
    check(!(name in answer), `the answer has ${name}`)
  }
  return new Stream(stream, answer)
}

async function withSession (act) {
  const session = await connect()
  try {
    return await act(session)
  } finally {
    session.destroy()
  }
}

const pattern = length => Buffer.from(Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 8)))
const letters = length => 'x'.repeat(length)

const cases = {
  'agreed on by ALPN': session => same(session.alpnProtocol, 'h2'),
  'messages of all lengths': async session => {
    const ws = await open(session)
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
      await ws.echoes(BINARY, pattern(length))
      await ws.echoes(TEXT, letters(length))
    }
  },
  'fragments, with Pings between them': async session => {
    const ws = await open(session)
    const whole = pattern(300_000)
    for (let at = 0; at < whole.length; at += 30_000) {
      const fin = at + 30_000 === whole.length
      ws.send(frame(at ? 0 : BINARY, whole.subarray(at, at + 30_000), { fin }), frame(PING, `${at}`))
      if (!fin) await ws.expect(PONG, `${at}`)
    }
    const got = [await ws.frame(), await ws.frame()].sort((one, other) => one.opcode - other.opcode)
    same(got.map(({ opcode, payload }) => [opcode, payload.length]), [[BINARY, 300_000], [PONG, 6]])
    check(got[0].payload.equals(whole), 'another message came')
  },
  'a frame in DATA frames of one octet': async session => {
    const ws = await open(session)
    for (const octet of frame(TEXT, 'slowly')) {
      await new Promise(resolve => ws.stream.write(Buffer.of(octet), resolve))
    }
    await ws.expect(TEXT, 'slowly')
  },
  'closes with their codes, and ends the stream': async session => {
    for (const code of [1000, 3000, 4999]) {
      const ws = await open(session)
      ws.send(frame(CLOSE, Buffer.of(code >> 8, code & 255)))
      await ws.expectClose(code)
      same(await ws.frame(), null)
    }
    const ws = await open(session)
    ws.send(frame(CLOSE, ''))
    same((await ws.frame()).payload.length, 0)
    same(await ws.frame(), null)
  },
  // R8441-5-i
  'a fault ends its stream and no other': async session => {
    const good = await open(session)
    for (const [code, octets] of [
      [1002, frame(TEXT, 'unmasked', { masked: false })],
      [1002, frame(3, 'of no known kind')],
      [1007, frame(TEXT, Buffer.of(0xc3, 0x28))],
      [1009, frame(BINARY, pattern(1_048_577))]
    ]) {
      const bad = await open(session)
      bad.send(octets)
      await bad.expectClose(code)
      await good.echoes(TEXT, `after ${code}`)
    }
  },
  // R8441-5-h
  'a reset ends its stream and no other': async session => {
    const [good, gone] = [await open(session), await open(session)]
    await gone.echoes(TEXT, 'here')
    gone.stream.close(NGHTTP2_CANCEL)
    await event(gone.stream, 'close')
    await good.echoes(TEXT, 'still here')
    same(session.destroyed, false)
  },
  'END_STREAM without a Close ends the stream': async session => {
    const ws = await open(session)
    await ws.echoes(TEXT, 'here')
    ws.stream.end()
    same(await ws.frame(), null)
  },
  // R9113-5.2-a
  'a handler that receives nothing stops no other': async session => {
    const deaf = await open(session, '/deaf')
    for (let n = 0; n < 4; n++) deaf.send(frame(BINARY, pattern(1_000_000)))
    await sleep(300)
    check(deaf.stream.writableLength > 0, 'all of it was taken')
    const others = await Promise.all(Array.from({ length: 49 }, () => open(session)))
    for (const length of [1, 1000, 100_000]) {
      await Promise.all(others.map(ws => ws.echoes(BINARY, pattern(length))))
    }
  },
  // R9113-5.2-a
  'a client that does not read stops no other': async session => {
    const unread = await open(session)
    unread.stream.pause()
    const message = frame(BINARY, pattern(1_000_000))
    for (let n = 0; n < 4; n++) unread.send(message)
    const others = await Promise.all(Array.from({ length: 10 }, () => open(session)))
    await Promise.all(others.map(ws => ws.echoes(BINARY, pattern(100_000))))
    unread.stream.resume()
    for (let n = 0; n < 4; n++) same((await unread.frame()).payload.length, 1_000_000)
  },
  'what is refused has its status': async session => {
    const refused = async headers => {
      const { stream, answer } = await ask(session, headers, { endStream: true })
      stream.resume()
      for (const name of ['connection', 'upgrade']) check(!(name in answer), `it has ${name}`)
      return answer[':status']
    }
    same(await refused({ ':protocol': 'connect-udp' }), 501)
    same(await refused({ 'sec-websocket-version': '8' }), 426)
    same(await refused({ ':path': '/nothing' }), 404)
    same(await refused({ origin: 'https://evil.example' }), 403)
    await (await open(session)).echoes(TEXT, 'still here')
  },
  'requests go on beside them': async session => {
    const ws = await open(session)
    const stream = session.request({ ':path': '/count' })
    stream.setEncoding('utf8')
    let text = ''
    stream.on('data', data => { text += data })
    await event(stream, 'end')
    check(/^\d+ WebSockets, \d+ of TCP$/.test(text), text)
    await ws.echoes(TEXT, 'still here')
    await until(() => !ws.ended)
  }
}

await run(Object.fromEntries(Object.entries(cases).map(([name, act]) => [name, () => withSession(act)])))
