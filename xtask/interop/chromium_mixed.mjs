// Two WebSockets of a page in Chromium get replies of their own and messages to many, compressed.
//
//     chromium_mixed.mjs client ws://ADDRESS/PATH
//
// The server sends back what comes to /broadcast?reply, and sends it to everyone there. Each looks at
// every message: what it is, and that those of a kind come in order. Ends in one line for each,
// `ok NAME` or `FAIL NAME: why`. The environment is that of chromium_deflate.mjs.

import { rm } from 'node:fs/promises'
import { createRequire } from 'node:module'

const { INTEROP_CHROMIUM, INTEROP_MODULES, INTEROP_PROFILE } = process.env
const { chromium } = createRequire(`${INTEROP_MODULES}/`)('playwright-core')

// Runs in the page.
async function mixed (url) {
  // Of its own; with its replies and what both send to everyone each gets three times as many.
  const MESSAGES = 3334
  const NAMES = ['a', 'b']
  const IN_FLIGHT = 16
  // So often everybody is silent for longer than the server waits before it lets a connection rest.
  const PAUSE_EVERY = 417
  const PAUSE_MILLISECONDS = 100
  const MILLISECONDS = 50_000
  const WORDS = 'alpha beta gamma delta price volume symbol null true 12.5 987654 update'.split(' ')

  function message (from, number) {
    const words = []
    let state = number * 7919 + from.charCodeAt(0)
    for (let left = state % 97 * (state % 5); left > 0; left--) {
      state = (state * 16807) % 2147483647
      words.push(WORDS[state % WORDS.length])
    }
    return JSON.stringify({ from, number, text: words.join(' ') })
  }

  function run (name) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url)
      const toMany = Object.fromEntries(NAMES.map(name => [name, 0]))
      let [sent, replies, pausing] = [0, 0, false]
      const fail = why => reject(new Error(`${why}; ${replies} replies, ${JSON.stringify(toMany)}`))
      setTimeout(() => fail('it did not end in its time'), MILLISECONDS)
      function fill () {
        while (!pausing && sent < Math.min(MESSAGES, replies + IN_FLIGHT)) {
          socket.send(message(name, sent++))
          if (sent % PAUSE_EVERY === 0) {
            pausing = true
            setTimeout(() => { pausing = false; fill() }, PAUSE_MILLISECONDS)
          }
        }
      }
      socket.addEventListener('close', ({ code, reason }) => fail(`closed with ${code} ${reason}`))
      socket.addEventListener('message', ({ data }) => {
        const { from, number } = JSON.parse(data)
        if (data !== message(from, number)) return fail(`another message ${number} of ${from} came`)
        if (from === name && number === replies) {
          replies++
        } else if (number === toMany[from]) {
          toMany[from]++
        } else {
          return fail(`${number} of ${from} came in place of ${toMany[from]}`)
        }
        if (replies === MESSAGES && NAMES.every(name => toMany[name] === MESSAGES)) {
          resolve(socket.extensions)
        }
        fill()
      })
      socket.addEventListener('open', () => opened.push(fill) === NAMES.length && opened.forEach(fill => fill()))
    })
  }

  // Both are there before the first message.
  const opened = []
  const results = await Promise.allSettled(NAMES.map(run))
  return results.map(({ value, reason }, index) => [NAMES[index], value ?? null, reason ? String(reason.message) : null])
}

const [role, url] = process.argv.slice(2)
if (role !== 'client' || !url) {
  console.error('usage: chromium_mixed.mjs client ws://ADDRESS/PATH')
  process.exit(2)
}
const empty = () => rm(INTEROP_PROFILE, { recursive: true, force: true })
await empty()
const browser = await chromium.launchPersistentContext(INTEROP_PROFILE, {
  executablePath: INTEROP_CHROMIUM,
  // Beside the profile it writes something into the home directory.
  env: { ...process.env, HOME: INTEROP_PROFILE },
  args: [
    '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'
  ]
})
try {
  const [page] = browser.pages()
  const { host } = new URL(url)
  await page.goto(`http://${host}/`)
  for (const [name, extensions, failure] of await page.evaluate(mixed, `ws://${host}/broadcast?reply`)) {
    const plain = failure ?? (extensions.startsWith('permessage-deflate') ? null : `extensions is ${extensions}`)
    console.log(plain === null ? `ok mixed-${name}` : `FAIL mixed-${name}: ${plain.replace(/\s+/g, ' ')}`)
    if (plain !== null) process.exitCode = 1
  }
} finally {
  await browser.close()
  await empty()
}
