//! Who is here, as the application asks and tells.

use std::sync::Arc;

use ws_server::{Client, ClientId};

use crate::{Nats, presence::AppearError, presence::Presence};

/// Who is here, on all nodes.
///
/// A member is a connection that the application [names](Nats::appear) in a topic; it does not matter
/// whether it subscribes. Somebody who has two connections is two members. All nodes know of a change
/// within a tenth of a second as a rule, and at last within [`Config::audit`](crate::Config#structfield.audit)
/// if messages are lost. A node that dies takes its members along within three
/// [heartbeats](crate::Config#structfield.heartbeat); one that shuts down, at once.
impl Nats {
    /// Makes a connection of this server a member of a topic, until it [disappears](Self::disappear) or
    /// its connection ends, however it does. Called again, it changes what is said about the member.
    ///
    /// `info` is any text, JSON as a rule: who it is, which colour. Every node that asks gets it.
    /// It works while NATS is away; the other nodes learn of it afterwards.
    ///
    /// ```no_run
    /// # fn appear(nats: &ws_nats::Nats, ws: &ws_server::WebSocket) -> Result<(), ws_server::HandlerError> {
    /// let client = ws.client().ok_or("this is a client's end")?;
    /// nats.appear(&client, "room", r#"{"name":"ann"}"#)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AppearError`]: the connection is closing, the text is too long, or the topic is full.
    pub fn appear(
        &self,
        client: &Client,
        topic: &str,
        info: impl Into<Arc<str>>,
    ) -> Result<(), AppearError> {
        self.roster.appear(client, topic, info.into())
    }

    /// Ends the membership of a connection of this server. Returns whether it was a member.
    pub fn disappear(&self, client: ClientId, topic: &str) -> bool {
        self.roster.disappear(client, topic)
    }

    /// Who is in a topic. A topic with subscribers here is known if there is a
    /// [`presence_event`](crate::Config#structfield.presence_event); for another one this asks all nodes
    /// and waits for their answers, 2 s at most, and knows it for a minute from then on.
    ///
    /// To show a list that is kept up to date, subscribe the client first, then ask, then apply the
    /// events as they come. An event may tell what the list has already.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn presence(&self, topic: &str) -> Presence {
        self.roster.presence(topic).await
    }

    /// The number of [members](Self::presence) of a topic that this node knows of. It may wait for answers
    /// as [`presence`](Self::presence) does, 2 s at most.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn count(&self, topic: &str) -> usize {
        self.roster.count(topic).await
    }

    /// Whether this node hears nobody, not even itself. It keeps the members of other nodes that it knew.
    pub fn is_cut_off(&self) -> bool {
        self.roster.is_cut_off()
    }
}
