// The example `socket_io`: npm `socket.io-client` on its WebSocket transport.

import { address, check, event, load, run, same, until } from './cases.mjs'

const { io } = load('socket.io-client')
const WebSocket = load('ws')

async function open () {
  const socket = io(`ws://${address}`, { transports: ['websocket'], forceNew: true, reconnection: false })
  await event(socket, 'connect')
  return socket
}

// What is said, from now on.
function listen (socket) {
  const heard = []
  socket.on('said', (...words) => heard.push(words))
  return heard
}

const begun = Date.now()
const silent = await open()
let pings = 0
silent.io.on('ping', () => { pings += 1 })

await run({
  'a connection has an id': async () => {
    const [one, two] = [await open(), await open()]
    check(one.id && two.id && one.id !== two.id, `the ids are ${one.id} and ${two.id}`)
    same(one.io.engine.transport.name, 'websocket')
    ;[one, two].forEach(socket => socket.disconnect())
  },
  'an event reaches all, with its arguments': async () => {
    const [one, two] = [await open(), await open()]
    const heard = [listen(one), listen(two)]
    one.emit('say', 'hello', { to: ['all'], é: '😀' }, null)
    for (const each of heard) {
      await until(() => each.length === 1)
      same(each, [['hello', { to: ['all'], é: '😀' }, null]])
    }
    ;[one, two].forEach(socket => socket.disconnect())
  },
  'an event is acknowledged, each by its own': async () => {
    const socket = await open()
    const counts = await Promise.all(['a', 'b', 'c'].map(text => socket.emitWithAck('say', text)))
    same(counts, [2, 2, 2])
    same(await socket.emitWithAck('sing'), { error: 'there is no such event' })
    socket.disconnect()
  },
  'many events come in order': async () => {
    const [one, two] = [await open(), await open()]
    const heard = listen(two)
    for (let i = 0; i < 2000; i++) one.emit('say', i)
    await until(() => heard.length === 2000)
    check(heard.every(([number], i) => number === i), 'the order is another one')
    ;[one, two].forEach(socket => socket.disconnect())
  },
  'a large event passes': async () => {
    const socket = await open()
    const [heard, text] = [listen(socket), 'é'.repeat(400_000)]
    await socket.emitWithAck('say', text)
    await until(() => heard.length === 1)
    check(heard[0][0] === text, 'another text came')
    socket.disconnect()
  },
  'who disconnects is gone': async () => {
    const [one, two] = [await open(), await open()]
    same(await two.emitWithAck('say', 'three are here'), 3)
    const reason = event(one, 'disconnect')
    one.disconnect()
    same(await reason, 'io client disconnect')
    while (await two.emitWithAck('say', 'who is here?') !== 2) ;
    two.disconnect()
  },
  'another namespace is refused': async () => {
    const socket = io(`ws://${address}/admin`, { transports: ['websocket'], forceNew: true, reconnection: false })
    const error = await event(socket, 'connect_error')
    same(error.message, 'Invalid namespace')
    socket.disconnect()
  },
  'binary is refused': async () => {
    const socket = await open()
    const reason = event(socket, 'disconnect')
    socket.emit('say', new Uint8Array([1, 2, 3]))
    same(await reason, 'transport close')
  },
  'what is no packet is refused': async () => {
    for (const [packet, why] of [
      ['hello', 'not understood'], ['', 'not understood'], ['9', 'not understood'], ['42', 'no event'],
      ['42{}', 'no event'], ['427["say"', 'no event'], ['42' + '['.repeat(10_000), 'no event'],
      ['é😀', 'not understood']
    ]) {
      const socket = new WebSocket(`ws://${address}/socket.io/?EIO=4&transport=websocket`)
      const end = new Promise(resolve => socket.once('close', (code, reason) => resolve([code, String(reason)])))
      await event(socket, 'open')
      socket.send(packet)
      same(await end, [1008, why])
    }
  },
  'a silent client hears a ping after 5 s, and lives': async () => {
    await until(() => pings > 0)
    const seconds = (Date.now() - begun) / 1000
    check(seconds > 4.9 && silent.connected, `the ping came after ${seconds} s`)
    silent.disconnect()
  }
})
