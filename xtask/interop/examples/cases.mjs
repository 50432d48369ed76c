// What the scripts of the examples share. Every case ends in one line, `ok NAME` or `FAIL NAME: why`,
// and has 20 seconds.
//
// A script is started with HOST:PORT, which is `address` here, or with the words that start its
// example, which `started` does.

import { spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import readline from 'node:readline'

const SECONDS_PER_CASE = 20
// What is to be done at the end of the script.
const atEnd = []
// Imports a package from npm.
export const load = createRequire(`${process.env.INTEROP_MODULES}/`)
export const scratch = process.env.INTEROP_SCRATCH
export const address = process.argv[2]

export function check (condition, why) {
  if (!condition) throw new Error(why)
}

export function same (found, expected) {
  const [left, right] = [found, expected].map(value => JSON.stringify(value))
  check(left === right, `${left} came, not ${right}`)
}

export const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))

// The first event of that name.
export const event = (emitter, name) => new Promise(resolve => emitter.once(name, resolve))

// Waits until the condition holds.
export async function until (condition) {
  while (!condition()) await sleep(5)
}

// Starts a program that ends with this script, as the example does that the script starts.
export function attached (program, words) {
  const [before, ...rest] = [...process.argv.slice(2, -1), program, ...words]
  const child = spawn(before, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  process.once('exit', () => child.kill())
  return child
}

// Starts the example with these arguments after its address.
export async function started (words = [], where = '127.0.0.1:0') {
  const example = attached(process.argv.at(-1), [where, ...words])
  for await (const line of readline.createInterface({ input: example.stdout })) {
    const listening = line.match(/^listening on (\S+)/)
    if (listening) {
      example.stdout.resume()
      return { address: listening[1], stop: () => example.kill() }
    }
  }
  throw new Error('the example ended before it listened')
}

// A port of 127.0.0.1 that was free a moment ago.
export function freePort () {
  const server = createServer()
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  }))
}

// A page of Chromium, started with these arguments, too.
export async function browse (...words) {
  const { INTEROP_CHROMIUM, INTEROP_PROFILE } = process.env
  await rm(INTEROP_PROFILE, { recursive: true, force: true })
  const browser = await load('playwright-core').chromium.launchPersistentContext(INTEROP_PROFILE, {
    executablePath: INTEROP_CHROMIUM,
    // Beside the profile it writes something into the home directory.
    env: { ...process.env, HOME: INTEROP_PROFILE },
    args: [
      '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', ...words
    ]
  })
  browser.setDefaultTimeout(15_000)
  atEnd.push(() => browser.close())
  return browser.newPage()
}

// Runs the cases, async functions by their names, and ends the script.
export async function run (cases) {
  let failed = 0
  for (const [name, act] of Object.entries(cases)) {
    let timer
    const late = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error('it took too long')), SECONDS_PER_CASE * 1000)
    })
    try {
      await Promise.race([act(), late])
      console.log(`ok ${name}`)
    } catch (error) {
      failed += 1
      console.log(`FAIL ${name}: ${error?.message ?? JSON.stringify(error)}`.replaceAll('\n', ' '))
    }
    clearTimeout(timer)
  }
  await Promise.all(atEnd.map(end => end()))
  process.exit(failed ? 1 : 0)
}
