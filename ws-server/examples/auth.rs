//! Who may connect: programs send a token, and pages the cookie that they got for a password. Whoever
//! is kicked loses all connections and sessions.
//!
//! ```text
//! $ cargo run --example auth                 # then open http://127.0.0.1:9001/ in a browser, or:
//! listening on 127.0.0.1:9001
//! $ curl -si -u ann:sesame http://127.0.0.1:9001/sign-in | grep -i cookie
//! Set-Cookie: session=5f1c..; HttpOnly; SameSite=Strict; Path=/
//! $ npx wscat -c ws://127.0.0.1:9001/chat -H 'Cookie: session=5f1c..'
//! < hello, ann
//! $ npx wscat -c ws://127.0.0.1:9001/staff -H 'Authorization: Bearer 0123456789'
//! < hello, robot
//! > kick ann                                 # closes Ann's connections with 1008
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use ws_server::*;

// ANCHOR: auth
#[derive(Clone)]
struct User {
    name: &'static str,
    staff: bool,
}

/// Who is signed in, by the random values of their cookies. A database would hold them, and the users,
/// and sessions would expire.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, User>>>);

#[async_trait]
impl Gate for Sessions {
    async fn admit(&self, opening: Opening) -> Result<Admit, Rejection> {
        let request = opening.request();
        let user = match request.bearer() {
            Some(token) => token.is("0123456789").then_some(User { name: "robot", staff: true }),
            None => {
                request.cookie("session").and_then(|key| self.0.lock().unwrap().get(key).cloned())
            }
        };
        let user = user.ok_or(Rejection::unauthorized("Bearer"))?;
        if request.path() == "/staff" && !user.staff {
            return Err(Rejection::forbidden());
        }
        Ok(Admit::new().subscribe(format!("user/{}", user.name)).data(user))
    }
}

#[async_trait]
impl Handler for Sessions {
    async fn handle(&self, mut ws: WebSocket) -> Result<(), HandlerError> {
        let user = ws.data::<User>().ok_or("the gate admits users alone")?.clone();
        ws.send(format!("hello, {}", user.name)).await?;
        while let Some(Message::Text(text)) = ws.recv().await {
            match text.as_str().strip_prefix("kick ") {
                Some(name) if user.staff => self.kick(name, &ws.clients().ok_or("a client")?),
                _ => ws.send(text).await?,
            }
        }
        Ok(())
    }
}

impl Sessions {
    /// Ends the sessions first: who connects again meanwhile is not admitted.
    fn kick(&self, name: &str, clients: &Clients) {
        self.0.lock().unwrap().retain(|_, user| user.name != name);
        let tag = format!("user/{name}");
        clients.close_subscribed(&tag, CloseCode::POLICY_VIOLATION, "signed out");
    }

    /// A browser asks for the password when it sees the 401, and follows the 303.
    fn answer(&self, request: &Request<()>) -> http::Result<Response<Bytes>> {
        let response = Response::builder();
        let response = match request.uri().path() {
            "/" => return response.header("Content-Type", "text/html").body(PAGE.into()),
            "/sign-in" => match self.sign_in(request) {
                Some(cookie) => {
                    response.status(303).header("Location", "/").header("Set-Cookie", cookie)
                }
                None => response.status(401).header("WWW-Authenticate", "Basic realm=\"chat\""),
            },
            _ => response.status(404),
        };
        response.body(Bytes::new())
    }

    /// A cookie for a user and a password. One that came by TLS is `Secure`, too.
    fn sign_in(&self, request: &Request<()>) -> Option<String> {
        let basic = Basic::parse(request.headers().get("Authorization")?.to_str().ok()?)?;
        let user = basic.is("ann", "sesame").then_some(User { name: "ann", staff: false })?;
        // Nobody guesses 128 random bits.
        let [high, low] = [(); 2].map(|()| getrandom::u64().expect("random numbers"));
        let session = format!("{high:016x}{low:016x}");
        let cookie = format!("session={session}; HttpOnly; SameSite=Strict; Path=/");
        self.0.lock().unwrap().insert(session, user);
        Some(cookie)
    }
}

const PAGE: &str =
    "<!doctype html><a href=/sign-in>sign in</a> <input id=say> <pre id=log></pre><script>
const ws = new WebSocket(`ws://${location.host}/chat`)
ws.onmessage = ({ data }) => log.append(data + '\\n')
ws.onclose = ({ code, reason }) => log.append(`closed: ${code} ${reason}\\n`)
say.onchange = () => ws.send(say.value)
</script>";

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let sessions = Sessions::default();
    let guarded = || Route::new(sessions.clone()).gate(sessions.clone());
    let mut server = Server::new().route("/chat", guarded()).route("/staff", guarded());
    server = server.fallback(move |request, _| sessions.answer(request).expect("valid headers"));
    let server = server.bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: auth
