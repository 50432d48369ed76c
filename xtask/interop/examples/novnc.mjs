// The example `tcp_bridge` before a VNC server of TigerVNC: npm `noVNC` in Chromium.

import { attached, browse, event, freePort, run, same, started } from './cases.mjs'

const port = await freePort()
// A white screen of 400 × 300.
const server = attached(process.env.INTEROP_VNC, [
  '-displayfd', '1', '-rfbport', port, '-interface', '127.0.0.1', '-SecurityTypes', 'None',
  '-geometry', '400x300', '-depth', '24', '-wr', '-desktop', 'the screen of a test'
])
// It prints the number of its display when it is ready.
await event(server.stdout, 'data')
const { address } = await started([`127.0.0.1:${port}`])

// noVNC is modules that a page imports.
const PAGE = `<!doctype html><body style="width: 640px; height: 480px"><script type="module">
import RFB from '/core/rfb.js'
window.connect = protocols => new Promise((resolve, reject) => {
  const rfb = new RFB(document.body, 'ws://' + location.host, { wsProtocols: protocols })
  rfb.addEventListener('desktopname', ({ detail }) => { rfb.desktop = detail.name })
  rfb.addEventListener('connect', () => resolve(window.rfb = rfb))
  rfb.addEventListener('disconnect', ({ detail }) => reject(new Error('disconnected, ' + detail.clean)))
})
window.disconnect = () => new Promise(resolve => {
  rfb.addEventListener('disconnect', ({ detail }) => resolve(detail.clean))
  rfb.disconnect()
})
window.loaded = true
</script>`
// As a proxy would, this serves the page and the modules at the address of the bridge, which refuses the
// pages of others. Chromium takes it for a page of the internet, which may not connect to 127.0.0.1.
const page = await browse('--disable-features=LocalNetworkAccessChecks')
await page.route(`http://${address}/**`, async route => {
  const { pathname } = new URL(route.request().url())
  await route.fulfill(pathname.endsWith('.js')
    ? { path: `${process.env.INTEROP_MODULES}/node_modules/@novnc/novnc${pathname}`, contentType: 'text/javascript' }
    : { body: PAGE, contentType: 'text/html' })
})
await page.goto(`http://${address}/`)
await page.waitForFunction(() => window.loaded)

// Waits for this size of the screen, and colour of its middle.
const shown = (...expected) => page.waitForFunction(expected => {
  const canvas = document.querySelector('canvas')
  const { width, height } = canvas
  const middle = canvas.getContext('2d').getImageData(width / 2, height / 2, 1, 1).data
  return JSON.stringify([width, height, ...middle]) === expected
}, JSON.stringify(expected))

await run({
  'the screen appears': async () => {
    await page.evaluate(async () => { await connect(['binary']) })
    await shown(400, 300, 255, 255, 255, 255)
    same(await page.evaluate(() => rfb.desktop), 'the screen of a test')
  },
  'the page changes the size of the screen': async () => {
    await page.evaluate(() => { rfb.resizeSession = true })
    await shown(640, 480, 255, 255, 255, 255)
  },
  'the page leaves, and comes back without a subprotocol': async () => {
    same(await page.evaluate(() => disconnect()), true)
    await page.evaluate(async () => { await connect([]) })
    await shown(640, 480, 255, 255, 255, 255)
  }
})
