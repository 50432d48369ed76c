// npm `ws` exchanges compressed messages with an echo server.
//
//     npm_ws_deflate.mjs client ws://ADDRESS/PATH
//
// INTEROP_MODULES names the directory that holds node_modules.

import { createRequire } from 'node:module'

import { drive } from './deflate_cases.mjs'
import { EchoClient } from './echo_client.mjs'

const { WebSocket } = createRequire(`${process.env.INTEROP_MODULES}/`)('ws')

// With context takeover it compresses short messages too; without, only those above a threshold.
const perMessageDeflate = { threshold: 0 }

await drive(
  ({ url }) => EchoClient.open(new WebSocket(url, { perMessageDeflate })),
  true
)
