// A relay before an echo server. What goes over the wire can be counted and looked at here, whichever
// client it is. Requests that are no opening handshake get a page, so that a browser has one whose
// origin is the server's: it must come from there indeed, for Chromium lets only pages from this
// machine connect to this machine.

import { readFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'

const CLIENT = await readFile(new URL('echo_client.mjs', import.meta.url))

export class Relay {
  // Octets of all WebSocket connections, from the client and from the server.
  sent = 0
  received = 0
  // What the server answered to the last opening handshake, as far as it came with the first read.
  answer = ''
  #front
  #path
  #sockets = new Set()

  static async before (url) {
    const { hostname, port, pathname } = new URL(url)
    const relay = new Relay()
    relay.#path = pathname
    relay.#front = http.createServer(page)
    relay.#front.on('upgrade', (request, client, head) => {
      // An end is passed on alone, so that either side sees whether the other closed first.
      const server = net.connect({ host: hostname, port, allowHalfOpen: true, noDelay: true })
      client.unshift(Buffer.concat([Buffer.from(headOf(request), 'latin1'), head]))
      relay.#pass(client, server, octets => { relay.sent += octets.length })
      server.once('data', octets => { relay.answer = octets.toString('latin1').split('\r\n\r\n')[0] })
      relay.#pass(server, client, octets => { relay.received += octets.length })
    })
    await new Promise((resolve, reject) =>
      relay.#front.once('error', reject).listen(0, '127.0.0.1', resolve))
    return relay
  }

  get port () {
    return this.#front.address().port
  }

  // Where to connect, for the path that the server has.
  get url () {
    return `ws://127.0.0.1:${this.port}${this.#path}`
  }

  get status () {
    return this.answer.split(' ')[1]
  }

  // The value of a header field of the answer.
  header (name) {
    const line = this.answer.split('\r\n').find(line => line.toLowerCase().startsWith(`${name}:`))
    return line?.slice(name.length + 1).trim()
  }

  // Ends every WebSocket connection.
  cut () {
    for (const socket of this.#sockets) socket.destroy()
  }

  close () {
    this.cut()
    this.#front.close()
    this.#front.closeAllConnections()
  }

  #pass (from, to, look) {
    this.#sockets.add(from)
    from.on('data', look)
    from.on('error', () => to.destroy())
    from.on('close', () => this.#sockets.delete(from))
    from.pipe(to)
  }
}

function headOf ({ method, url, rawHeaders }) {
  const lines = [`${method} ${url} HTTP/1.1`]
  for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

function page ({ url }, response) {
  const module = url === '/echo_client.mjs'
  response.setHeader('Content-Type', module ? 'text/javascript' : 'text/html')
  response.end(module ? CLIENT : '<!doctype html><title>echo</title>')
}
