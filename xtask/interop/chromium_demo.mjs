// The page of the demo in Chromium: two tabs chat, messages are echoed, the frames are shown, the raw
// client is let loose, and the server comes back after a restart.
//
//     chromium_demo.mjs DEMO [WORD...]
//
// starts the demo itself, by these words. Every case ends in one line, `ok NAME` or `FAIL NAME: why`.
// INTEROP_MODULES names the directory that holds node_modules, INTEROP_CHROMIUM the browser,
// INTEROP_PROFILE a directory for what the browser writes, and INTEROP_SCREENSHOTS one for pictures.

import { spawn } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { createRequire } from 'node:module'
import readline from 'node:readline'

const { INTEROP_CHROMIUM, INTEROP_MODULES, INTEROP_PROFILE, INTEROP_SCREENSHOTS } = process.env
const { chromium } = createRequire(`${INTEROP_MODULES}/`)('playwright-core')
const [program, ...words] = process.argv.slice(2)

// What is waited for appears within this, or fails the case.
const PATIENCE = 15_000

function check (condition, why) {
  if (!condition) throw new Error(why)
}

async function start (address) {
  const demo = spawn(program, [...words, '--listen', address, '--quiet'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = readline.createInterface({ input: demo.stdout })
  for await (const line of lines) {
    const listening = line.match(/^listening on (.*)/)
    if (listening) return { demo, address: listening[1] }
  }
  throw new Error('the demo did not start')
}

const stop = demo => new Promise(resolve => {
  demo.once('exit', resolve)
  demo.kill('SIGTERM')
})

const empty = () => rm(INTEROP_PROFILE, { recursive: true, force: true })
await empty()
await mkdir(INTEROP_SCREENSHOTS, { recursive: true })
let { demo, address } = await start('127.0.0.1:0')
const browser = await chromium.launchPersistentContext(INTEROP_PROFILE, {
  executablePath: INTEROP_CHROMIUM,
  env: { ...process.env, HOME: INTEROP_PROFILE },
  args: [
    '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'
  ]
})
browser.setDefaultTimeout(PATIENCE)

const complaints = []
async function tab () {
  const page = await browser.newPage()
  page.on('console', message => {
    // While the server is down the browser itself says that it does not answer.
    if (message.type() === 'error' && !(down && /ERR_CONNECTION_REFUSED/.test(message.text()))) {
      complaints.push(message.text())
    }
  })
  page.on('pageerror', error => complaints.push(error.message))
  await page.goto(`http://${address}/`)
  await page.locator('#status.on').waitFor()
  return page
}

let down = false
const [one, two] = [await tab(), await tab()]
const has = (page, selector, text) =>
  page.locator(selector, { hasText: text }).first().waitFor()
const frames = (page, ...texts) =>
  texts.reduce((rows, hasText) => rows.filter({ hasText }), page.locator('#frames tr'))
// Rows are drawn a moment after they came.
const cellsOf = async row => {
  await row.waitFor()
  return row.locator('td').allInnerTexts()
}
const script = async (page, label, wanted) => {
  await page.getByRole('button', { name: label }).click()
  await has(page, '#script-note', wanted)
  await page.locator('#scripts button:enabled').first().waitFor()
}

const cases = {
  async 'join-and-see-who-is-there' () {
    await one.getByLabel('Your name').fill('Ada')
    await one.getByRole('button', { name: 'Join' }).click()
    await has(one, '#people', 'Ada (you)')
    await two.getByLabel('Your name').fill('Ada')
    await two.keyboard.press('Enter')
    await has(two, '#people', 'Ada 2 (you)')
    await has(one, '#people', 'Ada 2')
    await has(one, '#said', 'Ada 2 joined')
  },
  async 'two-tabs-chat' () {
    await two.locator('#text').fill('hello <b>Ada</b>')
    await two.keyboard.press('Enter')
    await has(one, '#said li', 'hello <b>Ada</b>')
    await has(two, '#said li', 'hello <b>Ada</b>')
    await one.locator('#text').fill('hello yourself')
    await one.keyboard.press('Enter')
    await has(two, '#said li', 'hello yourself')
  },
  async 'who-leaves-is-gone' () {
    const three = await tab()
    await three.getByLabel('Your name').fill('Grace')
    await three.keyboard.press('Enter')
    await has(one, '#people', 'Grace')
    await three.close()
    await has(one, '#said', 'Grace left')
    await one.locator('#people li', { hasText: 'Grace' }).waitFor({ state: 'detached' })
  },
  async 'echo-shows-its-round-trip' () {
    await one.locator('#echo-text').fill('hello')
    await one.locator('#echo').getByRole('button', { name: 'Send', exact: true }).click()
    await has(one, '#echo-note', '5 B came back in')
    await has(one, '#times', 'Last 1: median')
    await one.getByRole('button', { name: 'Send 50 in turn' }).click()
    await has(one, '#times', 'Last 51:')
    check(await one.locator('#plot rect').count() === 51, 'the plot has other bars')
  },
  async 'frames-of-an-echo-are-shown' () {
    const received = frames(one, 'echo', 'received', 'Text').first()
    const cells = await cellsOf(received)
    check(cells[3] === 'yes' && cells[5] === 'yes' && cells[7] === '5', `the row is ${cells}`)
    const sent = await cellsOf(frames(one, 'echo', 'sent', 'Text').first())
    // So few bytes are below the server's threshold of compression.
    check(sent.slice(2).join('|') === 'Text|yes|-|no|5|5', `the row is ${sent}`)
  },
  async 'compressed-frames-have-rsv1-and-both-lengths' () {
    await one.getByLabel('Size').selectOption('1000')
    await one.locator('#echo').getByRole('button', { name: 'Send', exact: true }).click()
    await has(one, '#echo-note', '1,000 B came back')
    for (const direction of ['received', 'sent']) {
      const cells = await cellsOf(frames(one, 'echo', direction, 'RSV1', '1,000').first())
      check(Number(cells[6]) < 200 && cells[7] === '1,000', `the row is ${cells}`)
    }
    await has(one, '#compression', 'on, permessage-deflate')
    await one.getByText('Why?').click()
    await has(one, '#report', 'permessage-deflate; client_max_window_bits: taken as')
  },
  async 'too-large-is-refused-in-words' () {
    await one.getByLabel('Size').selectOption('2000000')
    await one.locator('#echo').getByRole('button', { name: 'Send', exact: true }).click()
    await has(one, '#echo-note', '1009, the message is too large for the server')
    await one.getByLabel('Size').selectOption('0')
    await one.locator('#compression', { hasText: 'on,' }).waitFor()
    await one.locator('#echo').getByRole('button', { name: 'Send', exact: true }).click()
    await has(one, '#echo-note', '5 B came back')
  },
  async 'raw-fragments' () {
    await script(one, 'A message in three fragments', '1000, normal closure')
    for (const [opcode, fin] of [['Text', 'no'], ['Continuation', 'no'], ['Ping', 'yes'], ['Continuation', 'yes']]) {
      await frames(one, 'raw', 'received', opcode, fin).first().waitFor()
    }
    await frames(one, 'raw', 'sent', 'Pong').first().waitFor()
    const echoed = await cellsOf(frames(one, 'raw', 'sent', 'Text').first())
    check(echoed[7] === String('one message in three'.length), `the row is ${echoed}`)
  },
  async 'raw-ping' () {
    await one.getByRole('button', { name: 'Clear' }).click()
    await script(one, 'A Ping', '1000, normal closure')
    await frames(one, 'raw', 'sent', 'Pong').first().waitFor()
  },
  'raw-unmasked': () => script(one, 'An unmasked frame', 'closed by the server: 1002'),
  'raw-invalid-utf8': () => script(one, 'Text that is not UTF-8', 'closed by the server: 1007'),
  'raw-reserved-bit': () => script(one, 'A reserved bit', 'closed by the server: 1002'),
  async 'what-the-server-counts-is-shown' () {
    const received = more => one.waitForFunction(n => counted && counted.received.messages >= n, more)
    await received(51)
    const shown = await one.evaluate(() => ({
      received: $('m-received').textContent.startsWith(`${n(counted.received.messages)} messages`),
      connections: $('m-connections').textContent,
      sent: $('m-sent').textContent,
      memory: Number($('m-memory').textContent.replaceAll(',', '').match(/\d+/)[0]),
      dropped: $('m-dropped').textContent,
      before: counted.received.messages
    }))
    check(shown.received && / now, \d+ in total$/.test(shown.connections), JSON.stringify(shown))
    check(/ messages \([\d,]+ text\) of [\d,]+ B; [\d,]+ B on the wire, \d+ %$/.test(shown.sent), 'bytes before and after compression')
    check(shown.memory > 0, 'compression holds something')
    check(shown.dropped.startsWith('0,'), 'something was dropped')
    await one.locator('#echo').getByRole('button', { name: 'Send', exact: true }).click()
    await received(shown.before + 1)
  },
  async 'what-the-server-counts-is-drawn' () {
    // Of one moment: the newest value of each line, as its caption tells it and as it is drawn.
    const drawn = () => one.evaluate(() => ({
      connections: counted.connections,
      trends: ['connections', 'messages', 'bytes'].map(name => {
        const lines = [...document.querySelectorAll(`#t-${name} polyline`)].map(line => line.getAttribute('points').split(' '))
        return {
          text: $(`t-${name}-text`).textContent,
          label: $(`t-${name}`).getAttribute('aria-label'),
          lengths: lines.map(line => line.length),
          last: lines.map(line => line.at(-1))
        }
      }),
      length: lately.length
    }))
    // Told by the newest value itself: a line of 60 values grows no more.
    const next = async () => {
      const newest = await one.evaluateHandle(() => lately.at(-1))
      await one.waitForFunction(newest => lately.length > 0 && lately.at(-1) !== newest, newest)
    }
    await next()
    await next()
    const { connections, trends, length } = await drawn()
    check(length >= 2, `${length} values`)
    for (const [which, lines] of [1, 2, 2].entries()) {
      const it = trends[which]
      check(it.lengths.length === lines && it.text === it.label, JSON.stringify(it))
      check(it.lengths.every(points => points === length), JSON.stringify(it))
      check(it.last.every(point => /^59,\d+\.\d$/.test(point)), JSON.stringify(it))
    }
    // Two pages of three connections.
    check(connections >= 6 && trends[0].text.startsWith(`${connections}; the line at the top is`), trends[0].text)

    // The counters of two seconds later, whatever the real ones are: 24,690 messages more. Then back.
    const [later, back] = await one.evaluate(() => {
      const kept = { counted, lately: [...lately] }
      const received = { ...counted.received, messages: counted.received.messages + 24690 }
      showMetrics({ ...counted, at: counted.at + 2, received })
      const later = [$('t-messages-text').textContent, document.querySelector('#t-messages polyline').getAttribute('points').split(' ').at(-1)];
      ({ counted, lately } = kept)
      drawTrends()
      return [later, $('t-messages-text').textContent]
    })
    check(later[0] === 'Received 12,345, sent (dashed) 0; at the top 12,345' && later[1] === '59,8.0', `${later}`)
    check(!back.includes('12,345'), back)

    // Fifty echoes are among the counters of the server, however long they take.
    const before = await one.evaluateHandle(() => ({ messages: counted.received.messages, newest: lately.at(-1) }))
    await one.getByRole('button', { name: 'Send 50 in turn' }).click()
    await one.waitForFunction(({ messages, newest }) => counted.received.messages >= messages + 50 &&
      lately.slice(lately.indexOf(newest) + 1).some(it => it.messagesIn > 0), before)
  },
  async 'closes-and-refusals-are-listed' () {
    const counts = async id => Object.fromEntries((await one.locator(`${id} li`).allInnerTexts()).map(text => text.split('\n').filter(part => part)))
    await one.waitForFunction(() => counted.closed.some(({ code, count }) => code === '1002' && count >= 2))
    const closes = await counts('#closes')
    check(closes['1002, a frame violated the protocol (server)'] === '2', `closes: ${JSON.stringify(closes)}`)
    check(closes['1007, invalid data, such as text that is not UTF-8 (server)'] === '1', `closes: ${JSON.stringify(closes)}`)
    check(await one.locator('#closes svg rect').count() === Object.keys(closes).length, 'one bar for each')
    const headers = {
      Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='
    }
    await new Promise((resolve, reject) => get(`http://${address}/nowhere`, { headers }, resolve).on('error', reject))
    await one.locator('#rejections li', { hasText: 'no route' }).waitFor()
    check((await counts('#rejections'))['no route'] === '1', 'one refusal')
  },
  async 'prometheus-reads-what-the-page-shows' () {
    const answer = await fetch(`http://${address}/metrics`)
    check(answer.status === 200, `status ${answer.status}`)
    const page = await answer.text()
    const shown = (await one.locator('#closes li', { hasText: '1007' }).innerText()).match(/\d+$/)[0]
    check(page.includes(`websocket_closes_total{code="1007",by="server"} ${shown}\n`), page)
    check(page.includes('websocket_handshakes_rejected_total{cause="no_route"} 1\n'), page)
  },
  async 'rows-can-be-picked' () {
    await one.getByLabel('Show').selectOption('raw')
    check(await frames(one).filter({ visible: true, hasText: 'chat' }).count() === 0, 'others are shown')
    check(await frames(one).filter({ visible: true }).count() > 5, 'nothing is shown')
    await one.getByLabel('Show').selectOption('')
  },
  async 'all-controls-are-reached-by-tab' () {
    await one.locator('body').click({ position: { x: 1, y: 1 } })
    const wanted = await one.locator('button:enabled, input:enabled, select, summary, [tabindex="0"]')
      .filter({ visible: true }).count()
    const reached = new Set()
    for (let n = 0; n < wanted + 3; n++) {
      await one.keyboard.press('Tab')
      reached.add(await one.evaluate(() => {
        const all = [...document.querySelectorAll('*')]
        return document.activeElement === document.body ? -1 : all.indexOf(document.activeElement)
      }))
    }
    reached.delete(-1)
    check(reached.size >= wanted, `${reached.size} of ${wanted}`)
  },
  async 'controls-have-names-and-nothing-is-cut-off' () {
    const nameless = await one.evaluate(() => [...document.querySelectorAll('button, input, select')]
      .filter(it => !(it.textContent.trim() || it.labels?.length)).length)
    check(nameless === 0, `${nameless} have none`)
    for (const width of [360, 768, 1280]) {
      await one.setViewportSize({ width, height: 800 })
      const over = await one.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      check(over <= 0, `${over} pixels too wide at ${width}`)
    }
  },
  async 'rows-are-cards-on-a-phone' () {
    await one.setViewportSize({ width: 390, height: 844 })
    await frames(one, 'Text').first().waitFor()
    const { over, cut, labels } = await one.evaluate(() => {
      const region = $('scroll')
      const right = region.getBoundingClientRect().right
      const cells = [...document.querySelectorAll('#frames tr:not(.told) td')].filter(cell => cell.checkVisibility())
      return {
        over: region.scrollWidth - region.clientWidth,
        cut: cells.filter(cell => cell.getBoundingClientRect().right > right || cell.scrollWidth > cell.clientWidth).length,
        labels: cells.slice(0, 8).map(cell => getComputedStyle(cell, '::before').content)
      }
    })
    check(over <= 0 && cut === 0, `${over} pixels too wide, ${cut} cells are cut`)
    check(labels.filter(label => /FIN|RSV|masked|on the wire|data/.test(label)).length === 5, `labels ${labels}`)
    await one.setViewportSize({ width: 1280, height: 800 })
  },
  async screenshots () {
    await one.getByRole('button', { name: 'Clear' }).click()
    await one.getByRole('button', { name: 'Send 50 in turn' }).click()
    await one.waitForFunction(() => inTurn === 0 && !waiting)
    await one.getByLabel('Size').selectOption('1000')
    await one.locator('#echo').getByRole('button', { name: 'Send', exact: true }).click()
    await has(one, '#echo-note', '1,000 B came back')
    await script(one, 'A message in three fragments', '1000')
    for (const scheme of ['light', 'dark']) {
      for (const [name, width, height] of [['phone', 360, 740], ['desktop', 1280, 900]]) {
        await one.emulateMedia({ colorScheme: scheme })
        await one.setViewportSize({ width, height })
        await one.evaluate(() => { $('scroll').scrollTop = $('scroll').scrollHeight; scrollTo(0, 0) })
        await one.screenshot({ path: `${INTEROP_SCREENSHOTS}/demo-${name}-${scheme}.png`, fullPage: true })
      }
    }
    await one.emulateMedia({ colorScheme: 'light' })
    // The picture of the README.
    await one.setViewportSize({ width: 1100, height: 1400 })
    await one.screenshot({ path: `${INTEROP_SCREENSHOTS}/readme.png` })
    await one.emulateMedia({ colorScheme: null })
  },
  async 'nothing-moves-when-notes-come' () {
    const tops = () => one.evaluate(() => [...document.querySelectorAll('h2, form:not([hidden]), #plot, #scripts, #scroll, footer')]
      .map(it => Math.round(it.getBoundingClientRect().top + scrollY)).join(' '))
    for (const width of [390, 768, 1280]) {
      await one.setViewportSize({ width, height: 800 })
      await one.evaluate(() => { for (const id of ['chat-note', 'echo-note', 'script-note']) note(id, '') })
      const empty = await tops()
      await one.evaluate(() => {
        for (const id of ['chat-note', 'echo-note', 'script-note']) {
          note(id, `The message was refused and the connection closed: ${inWords(1009, 'message too big')}.`, true)
        }
        $('compression').textContent = $('negotiated').textContent = $('times').textContent = '-'
        showNoMetrics()
        connected(false, inWords(1001, 'server shuts down'))
        $('countdown').textContent = 'in 30 s'
      })
      const told = await tops()
      check(empty === told, `at ${width} from ${empty} to ${told}`)
      await one.evaluate(() => {
        $('negotiated').textContent = echo.extensions
        $('compression').textContent = compressionInWords(echo.extensions)
        connected(true)
      })
    }
  },
  async 'no-round-trip-takes-nothing' () {
    const text = await one.evaluate(() => {
      times.splice(0, times.length, 0, 0.04, 12.34)
      plot()
      return $('times').textContent
    })
    check(text.includes('fastest less than 0.1 ms, slowest 12.3 ms'), text)
  },
  async 'what-is-lost-is-shown-no-longer' () {
    down = true
    await stop(demo)
    await has(one, '#status-text', 'Not connected')
    await has(one, '#compression', 'not connected')
    await has(one, '#people', 'not connected')
    for (const id of ['#negotiated', '#m-connections', '#m-memory', '#t-bytes-text']) {
      const shown = await one.locator(id).innerText()
      check(shown === '-', `${id} shows ${shown}`)
    }
    await one.screenshot({ path: `${INTEROP_SCREENSHOTS}/demo-lost.png`, fullPage: true })
  },
  // R6455C-7.2.3-a
  async 'a-restart-is-survived' () {
    await has(one, '#chat-note', '1001, the server is going away')
    await one.locator('#countdown', { hasText: 'in' }).waitFor()
    demo = (await start(address)).demo
    await Promise.all([one, two].map(page => page.getByRole('button', { name: 'Try now' }).click({ timeout: 2000 })
      .catch(() => { /* it was faster by itself */ })))
    for (const page of [one, two]) await page.locator('#status.on').waitFor()
    down = false
    await has(one, '#people', '(you)')
    await has(two, '#people', '(you)')
    await two.locator('#text').fill('still here')
    await two.keyboard.press('Enter')
    await has(one, '#said li', 'still here')
  },
  async 'no-console-error' () {
    check(complaints.length === 0, complaints.join('; '))
  }
}

try {
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run()
      console.log(`ok ${name}`)
    } catch (error) {
      console.log(`FAIL ${name}: ${error.message.split('\n').slice(0, 4).join(' / ')}`)
      process.exitCode = 1
    }
  }
} finally {
  await browser.close()
  await stop(demo)
  await empty()
}
