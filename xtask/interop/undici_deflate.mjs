// npm `undici`, whose WebSocket is Node's own, exchanges messages with an echo server.
//
//     undici_deflate.mjs client ws://ADDRESS/PATH
//
// INTEROP_MODULES names the directory that holds node_modules.

import { createRequire } from 'node:module'

import { drive } from './deflate_cases.mjs'
import { EchoClient } from './echo_client.mjs'

const { WebSocket } = createRequire(`${process.env.INTEROP_MODULES}/`)('undici')

// It offers permessage-deflate with client_max_window_bits and inflates what it receives, but sends
// everything as it is.
await drive(({ url }) => EchoClient.open(new WebSocket(url)), false)
