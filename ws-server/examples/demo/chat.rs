//! The chat at `/chat`: names, the people present, and their messages, in JSON.
//!
//! | from the page | | to the page | |
//! |---|---|---|---|
//! | `{"join":"Ada"}` | first | `{"you":{"id":7,"name":"Ada"}}` | the name may get a number |
//! | `{"say":"hello"}` | then | `{"said":{"id":7,"name":"Ada","text":"hello"}}` | to everyone |
//! | | | `{"people":[{"id":7,"name":"Ada"}]}` | whenever someone joins or leaves |
//! | | | `{"came":{..}}`, `{"went":{..}}` | to the others |
//! | | | `{"refused":"why"}` | the request had no effect |

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use ws_server::{ClientId, CloseCode, HandlerError, Message, Topic, WebSocket};

/// Maximum length of a name, in characters.
const NAME: usize = 24;
/// Maximum length of a text, in characters.
const TEXT: usize = 500;
/// Every arrival and departure is sent to all, so the number of people is limited.
const PEOPLE: usize = 100;
/// The pause between two messages of one client: the server stops reading from a faster one.
const PAUSE: Duration = Duration::from_millis(100);

/// The names of those present. Locked while a message is published, so that all receive the same
/// order.
type People = BTreeMap<ClientId, String>;

/// A room. A handle: cloning it is cheap.
#[derive(Clone, Default)]
pub(crate) struct Chat {
    people: Arc<Mutex<People>>,
}

/// A place in the chat. Dropping it leaves the chat, however the connection ends.
struct Seat {
    chat: Chat,
    id: ClientId,
    room: Topic,
}

impl Chat {
    /// Serves one connection.
    pub(crate) async fn serve(self, mut ws: WebSocket) -> Result<(), HandlerError> {
        let mut seat = None;
        while let Some(message) = ws.recv().await {
            let refused = match (parse(&message), &seat) {
                (Some(Asked::Join(_)), None) if self.people().len() >= PEOPLE => {
                    ws.close(CloseCode::TRY_AGAIN_LATER, "the room is full")?;
                    return Ok(());
                }
                (Some(Asked::Join(wish)), None) => match self.join(&mut ws, &wish) {
                    Ok(taken) => {
                        seat = Some(taken);
                        None
                    }
                    Err(refused) => Some(refused),
                },
                (Some(Asked::Join(_)), Some(_)) => Some("you already have a name".to_owned()),
                (Some(Asked::Say(text)), Some(seat)) => seat.say(&text).err(),
                (Some(Asked::Say(_)), None) => Some("join first".to_owned()),
                (None, _) => Some(r#"say {"join":"NAME"} or {"say":"TEXT"}"#.to_owned()),
            };
            if let Some(refused) = refused {
                ws.send(json!({ "refused": refused }).to_string()).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn join(&self, ws: &mut WebSocket, wish: &str) -> Result<Seat, String> {
        let wish = wish.trim();
        let allowed = |c: char| c.is_alphanumeric() || " -_.'".contains(c);
        if wish.is_empty() || wish.chars().count() > NAME || !wish.chars().all(allowed) {
            return Err(format!("a name has 1 to {NAME} letters, digits, spaces and - _ . '"));
        }
        let mut people = self.people();
        let id = ws.id();
        let mut name = wish.to_owned();
        let mut number = 1;
        while people.values().any(|taken| *taken == name) {
            number += 1;
            name = format!("{wish} {number}");
        }
        // Fails only if the connection is over.
        let room = ws.subscribe("chat").map_err(|error| error.to_string())?;
        people.insert(id, name.clone());
        // Best effort, as for everyone: a client that does not read is closed with 1013.
        ws.try_send(json!({ "you": person(&id, &name) }).to_string()).ok();
        room.publish_to_others(json!({ "came": person(&id, &name) }).to_string());
        room.publish(list(&people).to_string());
        drop(people);
        Ok(Seat { chat: self.clone(), id, room })
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn say(&self, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT {
            return Err(format!("a message has 1 to {TEXT} characters"));
        }
        let people = self.chat.people();
        let name = people.get(&self.id).map_or("", String::as_str);
        let mut said = person(&self.id, name);
        said["text"] = text.into();
        self.room.publish(json!({ "said": said }).to_string());
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut people = self.chat.people();
        if let Some(name) = people.remove(&self.id) {
            self.room.publish_to_others(json!({ "went": person(&self.id, &name) }).to_string());
            self.room.publish_to_others(list(&people).to_string());
        }
    }
}

fn person(id: &ClientId, name: &str) -> Value {
    json!({ "id": id.to_string(), "name": name })
}

fn list(people: &People) -> Value {
    let people: Vec<_> = people.iter().map(|(id, name)| person(id, name)).collect();
    json!({ "people": people })
}

enum Asked {
    Join(String),
    Say(String),
}

fn parse(message: &Message) -> Option<Asked> {
    let Message::Text(text) = message else { return None };
    let asked: Value = serde_json::from_str(text.as_str()).ok()?;
    let word = |name: &str| asked.get(name)?.as_str().map(str::to_owned);
    word("join").map(Asked::Join).or_else(|| word("say").map(Asked::Say))
}
