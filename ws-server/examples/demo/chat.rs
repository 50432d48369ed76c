//! The chat at `/chat`: names, who is there, and what they say, in JSON.
//!
//! | from the page | | to the page | |
//! |---|---|---|---|
//! | `{"join":"Ada"}` | first of all | `{"you":{"id":7,"name":"Ada"}}` | the name may get a number |
//! | `{"say":"hello"}` | then | `{"said":{"id":7,"name":"Ada","text":"hello"}}` | to everyone |
//! | | | `{"people":[{"id":7,"name":"Ada"}]}` | whenever somebody comes or goes |
//! | | | `{"came":{..}}`, `{"went":{..}}` | to the others |
//! | | | `{"refused":"why"}` | nothing was done |

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use ws_server::{Client, ClientId, Clients, CloseCode, HandlerError, Message, WebSocket};

/// Characters of a name.
const NAME: usize = 24;
/// Characters of a text.
const TEXT: usize = 500;
/// Each who comes or goes is told to all, so that a room has an end.
const PEOPLE: usize = 100;

#[derive(Clone)]
pub(crate) struct Chat {
    clients: Clients,
    /// Held while a name is chosen, so that two never take the same one.
    door: Arc<Mutex<()>>,
}

/// What a connection in the chat carries.
struct Name(String);

impl Chat {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients, door: Arc::default() }
    }

    /// Serves one who is there.
    pub(crate) async fn serve(self, mut ws: WebSocket) -> Result<(), HandlerError> {
        let mut name = None;
        while let Some(message) = ws.recv().await? {
            let refused = match (parse(&message), &name) {
                (Some(Asked::Join(wish)), None) => match self.join(&ws, &wish) {
                    Ok(Some(taken)) => {
                        name = Some(taken);
                        None
                    }
                    Ok(None) => {
                        ws.close(CloseCode::TRY_AGAIN_LATER, "the room is full")?;
                        break;
                    }
                    Err(refused) => Some(refused),
                },
                (Some(Asked::Join(_)), Some(_)) => Some("you have a name already".to_owned()),
                (Some(Asked::Say(text)), Some(name)) => self.say(ws.id(), name, &text).err(),
                (Some(Asked::Say(_)), None) => Some("join first".to_owned()),
                (None, _) => Some(r#"say {"join":"NAME"} or {"say":"TEXT"}"#.to_owned()),
            };
            if let Some(refused) = refused {
                ws.send(json!({ "refused": refused }).to_string()).await?;
            }
        }
        if let Some(name) = name {
            self.leave(ws.id(), &name);
        }
        Ok(())
    }

    /// `None` where the room is full.
    fn join(&self, ws: &WebSocket, wish: &str) -> Result<Option<String>, String> {
        let wish = wish.trim();
        if wish.is_empty() || wish.chars().count() > NAME || wish.chars().any(char::is_control) {
            return Err(format!(
                "a name has 1 to {NAME} characters, none of them control characters"
            ));
        }
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let people = self.people(None);
        if people.len() >= PEOPLE {
            return Ok(None);
        }
        let taken = |name: &str| people.iter().any(|(_, other)| other.0 == name);
        let numbered = (2..).map(|number| format!("{wish} {number}"));
        let name = std::iter::once(wish.to_owned()).chain(numbered).find(|name| !taken(name));
        let name = name.unwrap_or_default();
        ws.set_data(Name(name.clone()));
        drop(door);

        // Best effort, as with everyone: who does not read is closed with 1013.
        self.clients.send(ws.id(), json!({ "you": person(ws.id(), &name) }).to_string());
        self.tell(Some(ws.id()), &json!({ "came": person(ws.id(), &name) }));
        self.tell(None, &self.list(None));
        Ok(Some(name))
    }

    fn say(&self, id: ClientId, name: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT {
            return Err(format!("a message has 1 to {TEXT} characters"));
        }
        let mut said = person(id, name);
        said["text"] = text.into();
        self.tell(None, &json!({ "said": said }));
        Ok(())
    }

    fn leave(&self, id: ClientId, name: &str) {
        self.tell(Some(id), &json!({ "went": person(id, name) }));
        self.tell(Some(id), &self.list(Some(id)));
    }

    /// Sends to everyone in the room but `except`.
    fn tell(&self, except: Option<ClientId>, what: &Value) {
        let is_here = |client: &Client| is_here(client, except);
        self.clients.send_where(what.to_string(), is_here);
    }

    fn people(&self, except: Option<ClientId>) -> Vec<(ClientId, Arc<Name>)> {
        let here = self.clients.list().into_iter().filter(|client| is_here(client, except));
        here.filter_map(|client| Some((client.id(), client.data::<Name>()?))).collect()
    }

    fn list(&self, except: Option<ClientId>) -> Value {
        let people = self.people(except);
        let people: Vec<_> = people.iter().map(|(id, name)| person(*id, &name.0)).collect();
        json!({ "people": people })
    }
}

fn is_here(client: &Client, except: Option<ClientId>) -> bool {
    Some(client.id()) != except && client.data::<Name>().is_some()
}

fn person(id: ClientId, name: &str) -> Value {
    json!({ "id": id.to_string(), "name": name })
}

enum Asked {
    Join(String),
    Say(String),
}

fn parse(message: &Message) -> Option<Asked> {
    let Message::Text(text) = message else { return None };
    let asked: Value = serde_json::from_str(text).ok()?;
    let word = |name: &str| asked.get(name)?.as_str().map(str::to_owned);
    word("join").map(Asked::Join).or_else(|| word("say").map(Asked::Say))
}
