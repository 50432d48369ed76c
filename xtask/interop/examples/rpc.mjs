// The example `rpc`: npm `json-rpc-2.0` at the other end, over npm `ws`, in both directions.

import { address, check, event, load, run, same, sleep } from './cases.mjs'

const { JSONRPCClient, JSONRPCServer, JSONRPCServerAndClient } = load('json-rpc-2.0')
const WebSocket = load('ws')

async function open (name) {
  const socket = new WebSocket(`ws://${address}/rpc`, { perMessageDeflate: false })
  const remote = new JSONRPCServerAndClient(
    new JSONRPCServer(),
    new JSONRPCClient(request => socket.send(JSON.stringify(request)))
  )
  if (name) remote.addMethod('name', name)
  socket.on('message', data => remote.receiveAndSend(JSON.parse(data)))
  await event(socket, 'open')
  return { socket, remote }
}

// What comes for octets of one's own.
async function answer (text) {
  const socket = new WebSocket(`ws://${address}/rpc`)
  await event(socket, 'open')
  socket.send(text)
  const [data] = await Promise.all([event(socket, 'message')])
  socket.close()
  return JSON.parse(data)
}

async function failure (call) {
  const error = await call.then(result => { throw new Error(`it gave ${result}`) }, error => error)
  return [error.code, error.message]
}

await run({
  'a call is answered' : async () => {
    const { remote } = await open()
    same(await remote.request('subtract', [42, 23]), 19)
    same(await remote.request('subtract', [23, 42]), -19)
  },
  'the server calls the client while it works on its call' : async () => {
    const { remote } = await open(() => 'Ann')
    same(await remote.request('greet'), 'hello, Ann')
  },
  'a later call is answered first' : async () => {
    // What the earlier one waits for comes after the answer to the later one.
    let answered
    const later = new Promise(resolve => { answered = resolve })
    const { remote } = await open(() => later.then(() => 'Ann'))
    const greeting = remote.request('greet')
    same(await remote.request('subtract', [2, 1]), 1)
    answered()
    same(await greeting, 'hello, Ann')
  },
  'an error of the client comes back to it' : async () => {
    const { remote } = await open(() => { throw new Error('I will not say') })
    const [code, message] = await failure(remote.request('greet'))
    same(code, -32000)
    check(message.includes('I will not say'), message)
  },
  'a client that does not answer is waited for 2 s' : async () => {
    const { remote } = await open(() => new Promise(() => {}))
    same(await failure(remote.request('greet')), [-32000, 'name: no answer in 2s'])
    same(await remote.request('subtract', [2, 1]), 1)
  },
  'sixteen calls at once are worked on, and no more' : async () => {
    const { remote } = await open(() => sleep(500).then(() => 'Ann'))
    const calls = Array.from({ length: 20 }, () => remote.request('greet'))
    const outcomes = await Promise.allSettled(calls)
    same(outcomes.filter(({ status }) => status === 'fulfilled').length, 16)
    same(outcomes[19].reason.message, 'more than 16 calls at once')
  },
  'mistakes have the codes of the standard' : async () => {
    const { remote } = await open()
    same((await failure(remote.request('divide', [1, 0])))[0], -32601)
    same((await failure(remote.request('subtract', ['a'])))[0], -32602)
    same((await answer('{"jsonrpc":')).error.code, -32700)
    same((await answer('[]')).error.code, -32600)
    same((await answer('7')).id, null)
  },
  'a notification gets no answer' : async () => {
    const { socket, remote } = await open()
    remote.notify('subtract', [42, 23])
    const message = event(socket, 'message')
    same(await remote.request('subtract', [1, 1]), 0)
    same(JSON.parse(await message).result, 0)
  }
})
