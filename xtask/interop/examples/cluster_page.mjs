// The page of the example `cluster`, in Chromium: it goes on at another server when its own is killed.

import { browse, check, run, started } from './cases.mjs'

const ann = await browse()
const bob = await ann.context().newPage()
const { address } = await started()
const shows = (page, id, text) => page.locator(id, { hasText: text }).waitFor()

async function say (page, text) {
  await page.locator('#text').fill(text)
  await page.locator('#text').press('Enter')
}

await run({
  'two pages see each other': async () => {
    await ann.goto(`http://${address}/?name=ann`)
    await shows(ann, '#state', 'ann, at server')
    await bob.goto(`http://${address}/?name=bob`)
    await shows(bob, '#here', 'ann, bob')
    await shows(ann, '#here', 'ann, bob')
    await say(ann, 'hello, bob')
    await shows(bob, '#log', 'ann: hello, bob')
    await say(bob, 'hello, ann')
    await shows(ann, '#log', 'bob: hello, ann')
  },
  'a page goes on at another server': async () => {
    const before = await ann.locator('#state').textContent()
    await ann.locator('#kill').click()
    await ann.locator('#log .note', { hasText: 'recovered: All(' }).waitFor()
    check(await ann.locator('#state').textContent() !== before, 'it is at the same server')
    await shows(bob, '#log .note', 'recovered: All(')
    await say(bob, 'are you there?')
    await shows(ann, '#log', 'bob: are you there?')
    await shows(ann, '#here', 'ann, bob')
    const said = await ann.locator('#log').textContent()
    for (const text of ['hello, bob', 'hello, ann', 'are you there?']) {
      check(said.split(text).length === 2, `"${text}" is there ${said.split(text).length - 1} times`)
    }
  }
})
