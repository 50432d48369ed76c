//! How a connection of HTTP is bounded.

use std::time::Duration;

use hyper_util::{rt::TokioTimer, server::conn::auto};

/// Until the first request, TLS and what else comes before it included.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// Makes hyper-util's builder accept WebSockets over HTTP/2, and bounds what one connection makes it
/// hold: for a server that is not [`serve`](crate::serve()), such as that of axum-server.
///
/// HTTP/2: the extended CONNECT is enabled (RFC 8441); 128 streams at a time; a window of 64 KiB for a
/// stream and of 8 MiB for a connection, so that streams which nobody reads do not stop the others: 8 MiB
/// is what a connection makes the server hold of what it has received. As much waits to be sent at most,
/// 64 KiB for a stream. Heads have 16 KiB; a Ping follows 20 s without anything, and has 20 s for its
/// answer. HTTP/1.1: 10 s for a head, which has 16 KiB. Both have tokio's timer.
pub fn configure<E>(builder: &mut auto::Builder<E>) {
    const STREAMS: u32 = 128;
    const WINDOW: u32 = 64 * 1024;
    const HEAD: u32 = 16 * 1024;

    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_REQUEST)
        .max_buf_size(HEAD as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        // R8441-3-a: RFC 8441 §3: "The value of the parameter MUST be 0 or 1."
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(STREAMS * WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .max_header_list_size(HEAD)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
}
