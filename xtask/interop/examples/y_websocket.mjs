// The example `y_websocket`: editors of one document, by npm `yjs` and `y-websocket`.

import { address, check, load, run, same, until } from './cases.mjs'

const Y = load('yjs')
const { WebsocketProvider } = load('y-websocket')
const WebSocket = load('ws')

// An editor of that room, connected unless it is told otherwise.
function edit (room, { connect = true } = {}) {
  const document = new Y.Doc()
  const provider = new WebsocketProvider(`ws://${address}`, room, document, {
    WebSocketPolyfill: WebSocket, disableBc: true, connect
  })
  const text = document.getText('text')
  return { document, provider, text, leave: () => { provider.destroy(); document.destroy() } }
}

const synced = (...editors) => until(() => editors.every(({ provider }) => provider.synced))
const alike = (...editors) => until(() => {
  const texts = editors.map(({ text }) => text.toString())
  return texts.every(text => text === texts[0])
})

await run({
  'who is alone is synchronised': async () => {
    const editor = edit('alone')
    await synced(editor)
    same(editor.text.toString(), '')
    editor.leave()
  },
  'what one writes, the other reads': async () => {
    const [one, two] = [edit('read'), edit('read')]
    await synced(one, two)
    one.text.insert(0, 'hello')
    await until(() => two.text.toString() === 'hello')
    two.text.insert(5, ', and welcome')
    await until(() => one.text.toString() === 'hello, and welcome')
    ;[one, two].forEach(editor => editor.leave())
  },
  'a newcomer has the document when it is synchronised': async () => {
    const one = edit('later')
    await synced(one)
    one.text.insert(0, 'written before')
    const two = edit('later')
    await synced(two)
    same(two.text.toString(), 'written before')
    ;[one, two].forEach(editor => editor.leave())
  },
  'what was written without a connection is merged': async () => {
    const [one, two] = [edit('merge'), edit('merge', { connect: false })]
    await synced(one)
    one.text.insert(0, 'of the one. ')
    two.text.insert(0, 'of the other. ')
    two.provider.connect()
    await synced(two)
    await alike(one, two)
    check(one.text.toString().length === 26, one.text.toString())
    two.provider.disconnect()
    one.text.insert(0, 'while it was away, ')
    two.text.insert(0, 'while it was alone, ')
    two.provider.connect()
    await until(() => one.text.toString().length === 65)
    await alike(one, two)
    ;[one, two].forEach(editor => editor.leave())
  },
  'three editors who write at once agree': async () => {
    const editors = [edit('three'), edit('three'), edit('three')]
    await synced(...editors)
    for (let round = 0; round < 200; round++) {
      for (const [number, { text }] of editors.entries()) {
        const place = (round * 7 + number * 3) % (text.length + 1)
        if (round % 5 === 4 && text.length > place) text.delete(place, 1)
        else text.insert(place, String.fromCharCode(97 + number))
      }
      if (round % 20 === 0) await new Promise(setImmediate)
    }
    await alike(...editors)
    check(editors[0].text.length >= 360, `${editors[0].text.length} characters remain`)
    editors.forEach(editor => editor.leave())
  },
  'a large document passes': async () => {
    const one = edit('large')
    await synced(one)
    const page = 'a line of a long document\n'.repeat(200_000)
    one.text.insert(0, page)
    const two = edit('large')
    await synced(two)
    check(two.text.toString() === page, 'another document came')
    ;[one, two].forEach(editor => editor.leave())
  },
  'each knows who is there': async () => {
    const [one, two] = [edit('who'), edit('who')]
    one.provider.awareness.setLocalStateField('name', 'Ann')
    await synced(one, two)
    two.provider.awareness.setLocalStateField('name', 'Bob')
    const names = ({ provider }) => [...provider.awareness.getStates().values()].map(({ name }) => name).sort()
    await until(() => [one, two].every(editor => names(editor).join() === 'Ann,Bob'))
    two.leave()
    await until(() => names(one).join() === 'Ann')
    one.leave()
  },
  'rooms do not mix': async () => {
    const [one, two] = [edit('mix/one'), edit('mix/two')]
    await synced(one, two)
    one.text.insert(0, 'in the first room')
    const three = edit('mix/one')
    await synced(three)
    same([three.text.toString(), two.text.toString()], ['in the first room', ''])
    ;[one, two, three].forEach(editor => editor.leave())
  }
})
