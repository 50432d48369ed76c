// Chromium over wss: pages that come by https connect to where they came from.
//
//     chromium_wss.mjs PIN https://HOST:PORT...      the demo, and nginx in front of it
//
// PIN is the hash of the key of the one certificate that the browser believes beside the known ones.
// INTEROP_MODULES names the directory that holds node_modules, INTEROP_CHROMIUM the browser, and
// INTEROP_PROFILE a directory for what the browser writes, which is removed before and after.

import { rm } from 'node:fs/promises'

import { check, load, run, same } from './examples/cases.mjs'

const { INTEROP_CHROMIUM, INTEROP_PROFILE } = process.env
const [pin, direct, proxied] = process.argv.slice(2)
const { chromium } = load('playwright-core')

const empty = () => rm(INTEROP_PROFILE, { recursive: true, force: true })

// A page of a server in a browser that believes these keys.
async function withPage (keys, url, act) {
  await empty()
  const browser = await chromium.launchPersistentContext(INTEROP_PROFILE, {
    executablePath: INTEROP_CHROMIUM,
    env: { ...process.env, HOME: INTEROP_PROFILE },
    args: [
      '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', `--ignore-certificate-errors-spki-list=${keys}`
    ]
  })
  try {
    const [page] = browser.pages()
    return await act(page, url)
  } finally {
    await browser.close()
    await empty()
  }
}

// What a WebSocket of the page to its own server is told, and what comes back.
async function exchange (page, url) {
  await page.goto(url)
  return await page.evaluate(async () => {
    const open = async path => {
      const socket = new WebSocket(`wss://${location.host}${path}`)
      socket.binaryType = 'arraybuffer'
      await new Promise((resolve, reject) => {
        socket.onopen = resolve
        socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`))
      })
      return socket
    }
    const next = socket => new Promise(resolve => { socket.onmessage = ({ data }) => resolve(data) })
    const whoami = await open('/whoami')
    const told = await next(whoami)
    const echo = await open('/echo')
    const lengths = []
    for (const length of [0, 1, 20, 16384, 500000]) {
      const back = next(echo)
      echo.send(new Uint8Array(length).fill(7))
      lengths.push((await back).byteLength)
    }
    const closed = new Promise(resolve => { echo.onclose = ({ code, wasClean }) => resolve([code, wasClean]) })
    echo.close(4000)
    return { told, lengths, closed: await closed, extensions: echo.extensions }
  })
}

async function works (url) {
  const seen = await withPage(pin, url, exchange)
  check(seen.told.endsWith(' by wss'), `the server told ${seen.told}`)
  same(seen.lengths, [0, 1, 20, 16384, 500000])
  same(seen.closed, [4000, true])
  check(seen.extensions.startsWith('permessage-deflate'), `${seen.extensions} was agreed on`)
}

await run({
  'Chromium over wss': () => works(direct),
  'Chromium over wss through nginx': () => works(proxied),
  'Chromium believes no other certificate': () => withPage('', direct, async (page, url) => {
    const failed = await page.goto(url).then(() => '', error => error.message)
    check(failed.includes('ERR_CERT_AUTHORITY_INVALID'), `it came to ${failed || 'the page'}`)
  })
})
