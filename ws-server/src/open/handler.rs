//! What an application does with a connection.

use std::{error::Error, sync::Arc};

use async_trait::async_trait;

use crate::{WebSocket, drive::HandlerFuture};

/// Handles connections, each in its own call.
///
/// Every `Fn(WebSocket) -> impl Future<Output = Result<(), HandlerError>> + Send` is one. A closure
/// must name the type of its parameter, `|mut ws: WebSocket|`, and its last expression is `Ok(())`.
/// It is called once for each connection, so what connections share is cloned in it for each:
///
/// ```
/// # use ws_server::{Server, WebSocket};
/// # let server = Server::new();
/// let clients = server.clients(); // or an `Arc` of yours
/// let chat = move |mut ws: WebSocket| {
///     let clients = clients.clone();
///     async move {
///         while let Some(message) = ws.recv().await {
///             clients.send_path("/chat", message);
///         }
///         Ok(())
///     }
/// };
/// let server = server.route("/chat", chat);
/// ```
///
/// A type of your own implements it with [`async_trait`](macro@async_trait):
///
/// ```
/// use ws_server::{Handler, HandlerError, WebSocket, async_trait};
///
/// struct Greeter { greeting: String }
///
/// #[async_trait]
/// impl Handler for Greeter {
///     async fn handle(&self, mut ws: WebSocket) -> Result<(), HandlerError> {
///         ws.send(self.greeting.as_str()).await?;
///         while ws.recv().await.is_some() {}
///         Ok(())
///     }
/// }
/// ```
///
/// The connection is driven beside the handler in the same task: while the handler awaits anything,
/// Pings are answered, a Close is taken, and what other tasks send goes out. When the handler
/// returns the connection closes: with 1000 after `Ok`, with 1011 after `Err` or a panic. A handler
/// that blocks its thread holds up the connections that this thread was about to serve, and all
/// others until another thread takes over: a server with a listener, on a runtime of several
/// threads, sees to that within 100 ms, and logs a warning where no thread is left for a second.
/// Use `spawn_blocking`.
///
/// When the connection ends first, `recv` gives `None` and sending is an error, so most handlers
/// return by themselves. One that waits for something else has
/// [`Limits::handler_grace`](crate::Limits::handler_grace) (30 s), or until another connection needs
/// its place; then its future is dropped where it waits. Work that must be done in any case belongs
/// in a task of its own, or in the `Drop` of a value. A handler that only sends learns of the end
/// by [`WebSocket::closed`], in `tokio::select!` beside what it waits for.
///
/// # Where the compiler does not say enough
/// - "type annotations needed": the parameter of a closure has no type; `|mut ws: WebSocket|`.
/// - "this closure only implements `FnOnce`": it gives away what it holds, and is called for every
///   connection; clone it before `async move`, as above.
/// - "expected `Result<(), Box<dyn Error + Send + Sync>>`": the last expression is not `Ok(())`, or the
///   function has an error type of its own; `|ws: WebSocket| async { Ok(chat(ws).await?) }` turns that
///   of `async fn chat(ws: WebSocket) -> anyhow::Result<()>` into a [`HandlerError`].
/// - "future cannot be sent between threads safely": what is not `Send`, such as an `Rc` or a guard of a
///   `std::sync::Mutex`, is held over an `.await`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle connections",
    label = "not a `Handler`",
    note = "a handler is a closure `|mut ws: WebSocket| async move {{ ..; Ok(()) }}`, an `async fn(WebSocket) -> Result<(), HandlerError>`, or a type that implements `Handler`"
)]
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one connection.
    async fn handle(&self, ws: WebSocket) -> Result<(), HandlerError>;

    // The future of a function is stored as it is, without another future around it that holds the
    // function.
    #[doc(hidden)]
    fn start(self: Arc<Self>, ws: WebSocket) -> HandlerFuture {
        Box::pin(async move { self.handle(ws).await })
    }
}

#[async_trait]
impl<F, Fut> Handler for F
where
    F: Fn(WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    async fn handle(&self, ws: WebSocket) -> Result<(), HandlerError> {
        self(ws).await
    }

    fn start(self: Arc<Self>, ws: WebSocket) -> HandlerFuture {
        Box::pin(self(ws))
    }
}

/// Why a handler gave up. Every error that may go to another thread becomes one by `?`, one that is
/// boxed already and an `anyhow::Error` too; so does a text:
///
/// ```
/// use ws_server::{Handler, HandlerError, Server, WebSocket};
///
/// # fn find_room(_: &str) -> Result<(), anyhow::Error> { Ok(()) }
/// # fn log_in(_: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> { Ok(()) }
/// # fn parse(_: &str) -> Result<(), String> { Ok(()) }
/// # let _ = Server::new().any(
/// |mut ws: WebSocket| async move {
///     let room = ws.request().query().ok_or("no room was asked for")?; // a `&str`
///     let number: u32 = room.parse()?; // an error of the standard library
///     parse(room)?; // a `String`
///     log_in(room)?; // a `Box<dyn Error + Send + Sync>`
///     find_room(room)?; // an `anyhow::Error`
///     while let Some(message) = ws.recv().await {
///         if message.is_empty() {
///             return Err("an empty message".into());
///         }
///         ws.send(message).await?;
///     }
/// #   let _ = number;
///     Ok(())
/// }
/// # );
/// ```
///
/// The log has it as a warning, with the id and the address of the client. Where the handler fails
/// only because its connection is over, which is what [`SendError::Closed`](crate::SendError::Closed)
/// says, it is a line at `DEBUG`.
///
/// A `Box<dyn Error>` that is not `Send + Sync` cannot become one: say `Box<dyn Error + Send + Sync>`
/// at its source, or `.map_err(|error| error.to_string())?`.
pub type HandlerError = Box<dyn Error + Send + Sync>;
