// A page of the example `http2` in Chromium: its WebSockets are streams of the one connection that the
// page came by.
//
//     chromium_http2.mjs HOST:PORT
//
// INTEROP_MODULES names the directory that holds node_modules, INTEROP_CHROMIUM the browser, and
// INTEROP_PROFILE a directory for what the browser writes.

import { createHash, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import tls from 'node:tls'

import { MESSAGES } from './echo_client.mjs'
import { address, browse, check, run, same } from './examples/cases.mjs'

// The key of the certificate that signed itself: the browser believes this one beside the known ones.
async function pin () {
  const [host, port] = address.split(':')
  const socket = tls.connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'] })
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  const { publicKey } = new X509Certificate(socket.getPeerCertificate(true).raw)
  socket.destroy()
  const key = publicKey.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(key).digest('base64')
}

const page = await browse(`--ignore-certificate-errors-spki-list=${await pin()}`)
const client = await readFile(new URL('./echo_client.mjs', import.meta.url), 'utf8')

async function load () {
  await page.goto(`https://${address}/`)
  await page.addScriptTag({ type: 'module', content: `${client}\nwindow.EchoClient = EchoClient` })
  await page.waitForFunction(() => window.EchoClient)
}

async function counts (expected) {
  await page.waitForFunction(async expected => {
    window.counted = await (await fetch('/count')).text()
    return window.counted === expected
  }, expected, { polling: 50 }).catch(async () => {
    throw new Error(`${await page.evaluate(() => window.counted)}, not ${expected}`)
  })
}

// Compressed, on one WebSocket, one after the other.
async function exchange () {
  await load()
  const extensions = await page.evaluate(async () => {
    window.client = await window.EchoClient.open(new WebSocket(`wss://${location.host}/echo`))
    return window.client.extensions
  })
  check(extensions.startsWith('permessage-deflate'), `${extensions} was agreed on`)
  same(MESSAGES.length, 100)
  for (const number of MESSAGES.keys()) {
    await page.evaluate(number => window.client.exchange(number), number)
  }
  same(await page.evaluate(() => window.client.close(3456)), { code: 3456, clean: true })
}

// R9113-5.2-a
async function standStill () {
  await load()
  await page.evaluate(async () => {
    // A megabyte that no compression makes smaller.
    const random = new Uint8Array(1_000_000)
    for (let at = 0; at < random.length; at += 50_000) crypto.getRandomValues(random.subarray(at, at + 50_000))
    const open = path => window.EchoClient.open(new WebSocket(`wss://${location.host}${path}`))
    // Its handler receives nothing: what it is sent waits in the browser.
    window.deaf = await open('/deaf')
    for (let n = 0; n < 16; n++) window.deaf.socket.send(random)
    // It is sent more than the browser takes in, and nobody reads it.
    window.unread = new WebSocketStream(`wss://${location.host}/echo`)
    const { writable } = await window.unread.opened
    const writer = writable.getWriter()
    window.written = 0
    void (async () => {
      for (let n = 0; n < 20; n++) {
        await writer.write(random)
        window.written += 1
      }
    })()
    window.others = await Promise.all(Array.from({ length: 43 }, () => open('/echo')))
  })
  // Five more are those of the page itself.
  await counts('50 WebSockets, 1 of TCP')
  await page.waitForTimeout(1000)
  const stuck = await page.evaluate(async () => {
    for (let round = 0; round < 10; round++) {
      await Promise.all(window.others.map((client, n) => client.exchange((7 * round + n) % 60)))
    }
    return { deaf: window.deaf.socket.bufferedAmount > 0, unread: window.written < 20 }
  })
  same(stuck, { deaf: true, unread: true })
  await counts('50 WebSockets, 1 of TCP')
}

// Those that stood still go on, or go.
async function goOn () {
  const read = await page.evaluate(async () => {
    const reader = (await window.unread.opened).readable.getReader()
    let octets = 0
    for (let n = 0; n < 20; n++) octets += (await reader.read()).value.byteLength
    window.unread.close({ closeCode: 4000 })
    const closes = await Promise.all(window.others.map(client => client.close(4001)))
    return { octets, code: (await window.unread.closed).closeCode, clean: closes.every(({ clean }) => clean) }
  })
  same(read, { octets: 20_000_000, code: 4000, clean: true })
  await page.goto('about:blank')
  await load()
  await counts('5 WebSockets, 1 of TCP')
}

await run({
  'the page came by HTTP/2, and so did its WebSockets': async () => {
    await page.goto(`https://${address}/`)
    for (const line of ['this page came by h2', 'hello from 5', 'connections: 5 WebSockets, 1 of TCP']) {
      await page.locator('#log', { hasText: line }).waitFor({ timeout: 5000 }).catch(async () => {
        throw new Error(`the page says ${await page.locator('#log').textContent()}`)
      })
    }
  },
  '100 messages with compression': exchange,
  '50 on one connection, two of which stand still': standStill,
  'what stood still goes on': goOn
})
