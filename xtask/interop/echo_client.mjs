// An echo client on the WebSocket of the browsers, for Node and for a page: 100 messages, each
// compared with its echo. It uses nothing that a page lacks.

const SIZES = [0, 1, 125, 126, 1_000, 16_384, 65_535, 65_536, 300_000, 1_000_000]

const PLAIN = [...'aé€😀'].map(character => character.codePointAt(0))
// What compresses well, by half, and not at all.
const SHAPES = {
  'text-plain': size => text(size, i => PLAIN[i % 4]),
  'text-random': (size, random) => text(size, i => i % 2 ? random(0x20, 0x2000) : random(0x10000, 0x20000)),
  'binary-plain': size => binary(size, i => i * 7 + (i >> 8)),
  'binary-half': (size, random) => binary(size, i => i < size / 2 ? random(0, 0x100) : 0),
  'binary-random': (size, random) => binary(size, () => random(0, 0x100))
}

// The random octets come last: our server stops compressing binary for a while when it was in vain.
export const MESSAGES = [
  ...each(['text-plain', 'binary-plain', 'text-random', 'binary-half']),
  ...each(['binary-random'])
]

// Every message comes twice in a row, so that the second can refer back to the first.
function each (shapes) {
  return SIZES.flatMap(size => shapes.flatMap(shape =>
    ['first', 'again'].map(time => ({ name: `${shape}-${size}-${time}`, shape, size }))))
}

function make ({ shape, size }) {
  return SHAPES[shape](size, randomOf(size + 1))
}

// Text of `size` octets in UTF-8; dots fill what the next character is too long for.
function text (size, codePoint) {
  let characters = ''
  let left = size
  for (let i = 0; ; i++) {
    const next = codePoint(i)
    const octets = next < 0x80 ? 1 : next < 0x800 ? 2 : next < 0x10000 ? 3 : 4
    if (octets > left) return characters + '.'.repeat(left)
    characters += String.fromCodePoint(next)
    left -= octets
  }
}

function binary (size, octet) {
  return Uint8Array.from({ length: size }, (_, i) => octet(i))
}

// Xorshift: numbers from `low` up to `high`, the same ones in every run.
function randomOf (seed) {
  let state = seed
  return (low, high) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return low + (state >>> 0) % (high - low)
  }
}

export class EchoClient {
  #fault

  // `socket` was made a moment ago; resolves when it is open.
  static async open (socket) {
    const client = new EchoClient(socket)
    socket.binaryType = 'arraybuffer'
    await client.#event('open')
    return client
  }

  constructor (socket) {
    this.socket = socket
    // It comes before the close, and says why; in a page it keeps that to itself.
    socket.addEventListener('error', ({ message }) => { this.#fault = message })
  }

  get extensions () {
    return this.socket.extensions
  }

  // Sends the message with that number and compares the echo, octet for octet.
  async exchange (number) {
    const message = make(MESSAGES[number])
    const echoed = this.#event('message')
    this.socket.send(message)
    const { data } = await echoed
    if (typeof message === 'string') {
      if (data !== message) throw new Error('the echo is another message')
    } else {
      if (!(data instanceof ArrayBuffer)) throw new Error('the echo of binary is text')
      const octets = new Uint8Array(data)
      if (octets.length !== message.length) throw new Error(`sent ${message.length} octets, got ${octets.length}`)
      const at = octets.findIndex((octet, i) => octet !== message[i])
      if (at >= 0) throw new Error(`octet ${at} of ${octets.length} is another one`)
    }
  }

  async close (code) {
    const closed = this.#event('close')
    this.socket.close(code)
    const event = await closed
    return { code: event.code, clean: event.wasClean }
  }

  // The next event of that name; an end of the connection in place of it is a failure.
  #event (name) {
    const { socket } = this
    return new Promise((resolve, reject) => {
      const settle = event => {
        socket.removeEventListener(name, settle)
        socket.removeEventListener('close', settle)
        if (event.type === name) resolve(event)
        else reject(new Error(this.#fault || `closed with ${event.code} where a ${name} was awaited`))
      }
      if (socket.readyState === socket.CLOSED) throw new Error('the connection was lost before')
      socket.addEventListener(name, settle)
      socket.addEventListener('close', settle)
    })
  }
}
