// The page of the example `auth`, in Chromium: a password gives it a cookie, and the cookie a connection.

import { address, browse, event, load, run } from './cases.mjs'

const WebSocket = load('ws')
const page = await browse()
const has = text => page.locator('#log', { hasText: text }).waitFor()

await run({
  'a stranger is refused': async () => {
    await page.goto(`http://${address}/`)
    await has('closed: 1006')
  },
  'the password gives a cookie, and that a connection': async () => {
    await page.context().setHTTPCredentials({ username: 'ann', password: 'sesame' })
    await page.getByText('sign in').click()
    await has('hello, ann')
    await page.locator('#say').fill('is this me?')
    await page.locator('#say').press('Enter')
    await has('is this me?')
  },
  'who is kicked is told, and is a stranger again': async () => {
    const headers = { Authorization: 'Bearer 0123456789' }
    const robot = new WebSocket(`ws://${address}/staff`, { headers })
    await event(robot, 'open')
    robot.send('kick ann')
    await has('closed: 1008 signed out')
    await page.reload()
    await has('closed: 1006')
  }
})
