// The example `graphql`: npm `graphql-ws` over npm `ws`, and the close codes of its protocol.

import { address, check, event, load, run, same, until } from './cases.mjs'

const { createClient } = load('graphql-ws')
const WebSocket = load('ws')
const url = `ws://${address}/graphql`

const open = options => createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, ...options })

// All results of an operation. `first` is called with the first one.
function all (client, query, variables) {
  return new Promise((resolve, reject) => {
    const results = []
    client.subscribe({ query, variables }, {
      next: result => results.push(result.data), error: reject, complete: () => resolve(results)
    })
  })
}

// A subscription that goes on, its results so far, and its end.
function listen (client, room) {
  const heard = []
  const end = client.subscribe(
    { query: 'subscription ($room: String!) { messages(room: $room) }', variables: { room } },
    { next: result => heard.push(result.data.messages), error: error => heard.push(error), complete: () => {} }
  )
  return { heard, end }
}

const say = (client, room, text) =>
  all(client, 'mutation ($room: String!, $text: String!) { say(room: $room, text: $text) }', { room, text })

// Waits until so many listen in the room.
async function present (client, room, count) {
  const hello = `are ${count} there?`
  while ((await say(client, room, hello))[0].say !== count) ;
  return hello
}

// How the server ends a connection that says this.
async function closed (...packets) {
  const socket = new WebSocket(url, 'graphql-transport-ws')
  const end = new Promise(resolve => socket.once('close', (code, reason) => resolve([code, String(reason)])))
  await event(socket, 'open')
  packets.forEach(packet => socket.send(typeof packet === 'string' ? packet : JSON.stringify(packet)))
  return end
}

const INIT = { type: 'connection_init' }
const subscribe = id => ({ type: 'subscribe', id, payload: { query: '{ countdown(from: 100) }' } })

await run({
  'a query is answered': async () => {
    same(await all(open(), '{ hello }'), [{ hello: 'world' }])
  },
  'a subscription counts down and completes': async () => {
    const query = 'subscription Count($from: Int!) { countdown(from: $from) }'
    const counted = await all(open(), query, { from: 3 })
    same(counted.map(result => result.countdown), [3, 2, 1, 0])
  },
  'two operations go on at the same time': async () => {
    const client = open()
    const slow = all(client, 'subscription { countdown(from: 5) }')
    same(await all(client, '{ hello }'), [{ hello: 'world' }])
    same((await slow).length, 6)
  },
  'a topic reaches all subscriptions in order': async () => {
    const [one, two, writer] = [open(), open(), open()]
    const heard = [listen(one, 'tea').heard, listen(two, 'tea').heard]
    const other = listen(two, 'cake').heard
    await present(writer, 'tea', 2)
    const texts = Array.from({ length: 200 }, (_, i) => `number ${i}`)
    for (let i = 0; i < texts.length; i += 25) {
      await Promise.all(texts.slice(i, i + 25).map(text => say(writer, 'tea', text)))
    }
    for (const each of heard) {
      await until(() => each.includes('number 199'))
      same(each.filter(text => text.startsWith('number')), texts)
    }
    same(other, [])
  },
  'a large message passes': async () => {
    const [client, text] = [open(), 'é'.repeat(250_000)]
    const { heard } = listen(client, 'large')
    await present(client, 'large', 1)
    await say(client, 'large', text)
    await until(() => heard.at(-1) === text)
  },
  'an operation that is completed by the client ends': async () => {
    const client = open()
    const { heard, end } = listen(client, 'left')
    await present(client, 'left', 1)
    end()
    await present(client, 'left', 0)
    const before = heard.length
    await say(client, 'left', 'who hears this?')
    same(heard.length, before)
  },
  'a client that leaves ends its operations': async () => {
    const [client, other] = [open(), open()]
    listen(client, 'gone')
    await present(other, 'gone', 1)
    await client.dispose()
    await present(other, 'gone', 0)
  },
  'an unknown field and a broken query are errors of their operation': async () => {
    const client = open()
    for (const [query, why] of [['{ bye }', 'there is no field "bye"'], ['hello', 'this query is not understood']]) {
      const errors = await all(client, query).then(() => 'no error', errors => errors)
      same(errors, [{ message: why }])
    }
    same(await all(client, '{ hello }'), [{ hello: 'world' }])
  },
  'more operations than a client may have are errors': async () => {
    const client = open()
    const rooms = Array.from({ length: 32 }, (_, i) => listen(client, `room ${i}`))
    const errors = await all(client, '{ hello }').then(() => 'no error', errors => errors)
    same(errors, [{ message: 'more than 32 operations at once' }])
    rooms[0].end()
    same(await all(client, '{ hello }'), [{ hello: 'world' }])
  },
  'the client keeps the connection alive': async () => {
    let pongs = 0
    const client = open({ lazy: false, keepAlive: 50, on: { pong: received => { pongs += received } } })
    await until(() => pongs >= 3)
    await client.dispose()
  },
  'another subprotocol gets 400': async () => {
    const socket = new WebSocket(url, 'graphql-ws')
    const [error] = await Promise.all([event(socket, 'error')])
    check(error.message.endsWith('400'), error.message)
  },
  'mistakes have the codes of the protocol': async () => {
    same(await closed('hello'), [4400, 'Invalid message received'])
    same(await closed(INIT, { type: 'subscribe', id: '1' }), [4400, 'Invalid message received'])
    same(await closed(subscribe('1')), [4401, 'Unauthorized'])
    same(await closed(INIT, INIT), [4429, 'Too many initialisation requests'])
    same(await closed(INIT, subscribe('7'), subscribe('7')), [4409, 'Subscriber for 7 already exists'])
  },
  'a client that does not begin is closed after 3 s': async () => {
    same(await closed(), [4408, 'Connection initialisation timeout'])
  }
})
