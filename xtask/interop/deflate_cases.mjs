// What a foreign client has to get done with an echo server that compresses. Every case ends in one
// line, `ok NAME` or `FAIL NAME: why`; all of them share a connection, for the context takeover.

import { MESSAGES } from './echo_client.mjs'
import { Relay } from './relay.mjs'

const MILLISECONDS_PER_CASE = 20_000

// Alone its random characters shrink by half; after its like, a reference of a few octets is left.
const AGAIN = MESSAGES.findIndex(({ name }) => name === 'text-random-1000-again')

export function check (condition, why) {
  if (!condition) throw new Error(why)
}

// `open(relay)` connects through the relay and gives an `EchoClient`, or one that acts so in another
// process. `compresses` tells whether the client compresses what it sends, or only takes what is
// compressed. `more(relay)` are further cases, pairs of a name and a function.
export async function drive (open, compresses, more = () => []) {
  const [role, url] = process.argv.slice(2)
  if (role !== 'client' || !url) {
    console.error('usage: SCRIPT client ws://ADDRESS/PATH')
    process.exitCode = 2
    return
  }
  const relay = await Relay.before(url)
  let client
  const wire = []

  async function negotiate () {
    client = await open(relay)
    const agreed = relay.header('sec-websocket-extensions')
    console.log(`the server agreed to ${agreed}; extensions is ${client.extensions}`)
    check(/^permessage-deflate\b/.test(agreed), 'that is not permessage-deflate')
    check(/^permessage-deflate\b/.test(client.extensions), 'the client has it otherwise')
    check(!agreed.includes('no_context_takeover'), 'that is without context takeover')
  }

  async function exchange (number) {
    check(client, 'there is no connection')
    const { sent, received } = relay
    try {
      await client.exchange(number)
    } finally {
      wire[number] = { sent: relay.sent - sent, received: relay.received - received }
    }
  }

  function weigh (direction, compressed) {
    const octets = MESSAGES.reduce((sum, { size }) => sum + size, 0)
    const went = wire.reduce((sum, each) => sum + each[direction], 0)
    const again = wire[AGAIN]?.[direction]
    console.log(`${direction} ${octets} octets as ${went}, 1000 that came before as ${again}`)
    if (compressed) {
      check(went < octets / 2, 'that is hardly compressed')
      check(again < 50, 'that is without context takeover')
    } else {
      check(went > octets, 'that is compressed')
    }
  }

  async function close () {
    check(client, 'there is no connection')
    const { code, clean } = await client.close(3456)
    check(code === 3456 && clean, `closed with 3456, ${code} came back, ${clean ? '' : 'not '}clean`)
  }

  const cases = [
    ['negotiated', negotiate],
    ...MESSAGES.map(({ name }, number) => [name, () => exchange(number)]),
    [compresses ? 'sent-compressed' : 'sent-plain', () => weigh('sent', compresses)],
    ['received-compressed', () => weigh('received', true)],
    ['close-3456', close],
    ...more(relay)
  ]
  for (const [name, run] of cases) {
    let timer
    try {
      const late = new Promise((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error('it did not end in its time'))
          // The next ones would wait for the same.
          relay.cut()
        }, MILLISECONDS_PER_CASE)
      })
      await Promise.race([run(), late])
      console.log(`ok ${name}`)
    } catch (error) {
      console.log(`FAIL ${name}: ${String(error.message).replace(/\s+/g, ' ')}`)
      process.exitCode = 1
    } finally {
      clearTimeout(timer)
    }
  }
  relay.close()
}
