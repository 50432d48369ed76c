// The example `tcp_bridge` before the broker mosquitto: npm `mqtt` over WebSocket, with MQTT 3.1.1 and 5.

import { writeFile } from 'node:fs/promises'

import { attached, check, event, freePort, load, run, same, scratch, sleep, started, until } from './cases.mjs'

const mqtt = load('mqtt')

const port = await freePort()
await writeFile(`${scratch}/mosquitto.conf`, `
listener ${port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 100000
log_dest stderr
log_type error
log_type warning
`)
attached(process.env.INTEROP_MOSQUITTO, ['-c', `${scratch}/mosquitto.conf`])
const { address } = await started([`127.0.0.1:${port}`])

async function connect (options) {
  for (;;) {
    const client = mqtt.connect(`ws://${address}/mqtt`, { reconnectPeriod: 0, ...options })
    const connected = await Promise.race([
      event(client, 'connect').then(() => true), event(client, 'close').then(() => false)
    ])
    client.on('error', () => {})
    if (connected) return client
    // The broker is still starting.
    await sleep(50)
  }
}

// What comes on these topics, as [topic, text].
async function listen (client, topic, qos = 0) {
  const heard = []
  client.on('message', (topic, payload) => heard.push([topic, String(payload)]))
  await client.subscribeAsync(topic, { qos })
  return heard
}

const cases = {}
for (const [version, protocolVersion] of [['3.1.1', 4], ['5', 5]]) {
  cases[`MQTT ${version}: published messages arrive with every quality of service`] = async () => {
    const [one, two] = [await connect({ protocolVersion }), await connect({ protocolVersion })]
    const heard = await listen(one, `quality/${version}/+`, 2)
    for (const qos of [0, 1, 2]) await two.publishAsync(`quality/${version}/${qos}`, `with ${qos}`, { qos })
    await until(() => heard.length === 3)
    same(heard.map(([topic, text]) => `${topic} ${text}`), [0, 1, 2].map(qos => `quality/${version}/${qos} with ${qos}`))
  }
  cases[`MQTT ${version}: 5,000 messages arrive in order`] = async () => {
    const [one, two] = [await connect({ protocolVersion }), await connect({ protocolVersion })]
    const heard = await listen(one, `order/${version}`, 1)
    for (let i = 0; i < 5000; i++) two.publish(`order/${version}`, `number ${i}`, { qos: 1 })
    await until(() => heard.length === 5000)
    check(heard.every(([, text], i) => text === `number ${i}`), 'the order is another one')
  }
  cases[`MQTT ${version}: 64 MiB in one message`] = async () => {
    const [one, two] = [await connect({ protocolVersion }), await connect({ protocolVersion })]
    const payload = Buffer.alloc(64 << 20, Uint8Array.from({ length: 257 }, (_, i) => i))
    const message = new Promise(resolve => one.once('message', (topic, payload) => resolve(payload)))
    await one.subscribeAsync(`large/${version}`)
    await two.publishAsync(`large/${version}`, payload, { qos: 1 })
    check(payload.equals(await message), 'other octets came')
  }
}

cases['a retained message waits for who subscribes later'] = async () => {
  const client = await connect()
  await client.publishAsync('retained', 'still here', { qos: 1, retain: true })
  await client.endAsync()
  const heard = await listen(await connect(), 'retained')
  await until(() => heard.length === 1)
  same(heard, [['retained', 'still here']])
}

cases['the last will of a client that vanishes is published'] = async () => {
  const heard = await listen(await connect(), 'wills')
  const client = await connect({ will: { topic: 'wills', payload: 'it was good', qos: 0 } })
  client.stream.destroy()
  await until(() => heard.length === 1)
  same(heard, [['wills', 'it was good']])
}

await run(cases)
