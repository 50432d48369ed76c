// A page in Chromium exchanges compressed messages with an echo server, which refuses pages of other
// origins.
//
//     chromium_deflate.mjs client ws://ADDRESS/PATH
//
// INTEROP_MODULES names the directory that holds node_modules, INTEROP_CHROMIUM the browser, and
// INTEROP_PROFILE a directory for what the browser writes, which is removed before and after.

import { rm } from 'node:fs/promises'
import { createRequire } from 'node:module'

import { check, drive } from './deflate_cases.mjs'
import { Relay } from './relay.mjs'

const { INTEROP_CHROMIUM, INTEROP_MODULES, INTEROP_PROFILE } = process.env
const { chromium } = createRequire(`${INTEROP_MODULES}/`)('playwright-core')

const empty = () => rm(INTEROP_PROFILE, { recursive: true, force: true })
await empty()
// By default it is headless, and without the sandbox, which root cannot have.
const browser = await chromium.launchPersistentContext(INTEROP_PROFILE, {
  executablePath: INTEROP_CHROMIUM,
  // Beside the profile it writes something into the home directory.
  env: { ...process.env, HOME: INTEROP_PROFILE },
  args: [
    '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'
  ]
})
const [page] = browser.pages()

async function open ({ port, url }) {
  await page.goto(`http://127.0.0.1:${port}/`)
  const extensions = await page.evaluate(async url => {
    const { EchoClient } = await import('/echo_client.mjs')
    window.client = await EchoClient.open(new WebSocket(url))
    return window.client.extensions
  }, url)
  return {
    extensions,
    exchange: number => page.evaluate(number => window.client.exchange(number), number),
    close: code => page.evaluate(code => window.client.close(code), code)
  }
}

// A page of `origin` may not connect.
async function refused (relay, origin) {
  relay.answer = ''
  await page.goto(origin)
  const seen = await page.evaluate(url => new Promise(resolve => {
    const socket = new WebSocket(url)
    socket.addEventListener('open', () => resolve('open'))
    socket.addEventListener('close', ({ code }) => resolve(code))
  }), relay.url)
  check(seen === 1006, `the page saw ${seen}`)
  check(relay.status === '403', `the server answered ${relay.status}`)
}

const origins = relay => [
  ['refuses-other-host', () => refused(relay, `http://localhost:${relay.port}`)],
  ['refuses-other-port', async () => {
    const other = await Relay.before(`ws://127.0.0.1:${relay.port}`)
    try {
      await refused(relay, `http://127.0.0.1:${other.port}`)
    } finally {
      other.close()
    }
  }]
]

try {
  await drive(open, true, origins)
} finally {
  await browser.close()
  await empty()
}
