//! Compares all topics of interest with the stream.
//!
//! Promise 4: republished messages are lost in silence, the last of a topic too. So each topic is
//! compared with the stream within [`Config::audit`](crate::Config#structfield.audit), and after every
//! reconnect.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{self, MissedTickBehavior};
use tracing::{debug, info};

use crate::{
    api::ApiError, inspector::Sight, node::Node, refill::TOPICS, stream, topic::Topic,
    track::Newest, tracks::Tracks,
};

/// Least time between two audits that something asked for.
const PAUSE: Duration = Duration::from_millis(250);
/// JetStream's number of the error that there is no such stream.
const NO_STREAM: u64 = 10059;
/// Octets of the subjects of one question.
const SUBJECTS: usize = 64 << 10;

/// Runs until the node shuts down.
pub(crate) async fn run(node: Arc<Node>, tracks: Arc<Tracks>) {
    let mut epoch = node.inspector.epoch();
    let mut liveness = node.link.liveness();
    let mut ticks = time::interval(interval(&node));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = node.link.lost_some() => {}
            changed = liveness.changed() => if changed.is_err() { return },
            () = time::sleep(PAUSE), if failed => {}
        }
        if !liveness.borrow_and_update().is_up {
            failed = true;
            continue;
        }
        let outcome = audit(&node, &tracks).await;
        failed = outcome.is_err();
        match outcome {
            Ok(sight) => {
                node.counters.audits.add(1);
                if sight.facts.epoch != epoch {
                    epoch = sight.facts.epoch;
                    node.counters.epochs.add(1);
                    info!(stream = %node.stream, "the stream was made anew, or its limits changed: a new epoch begins");
                    ticks.reset_after(interval(&node));
                }
            }
            Err(error) => {
                if matches!(error, ApiError::JetStream { code: NO_STREAM, .. })
                    && node.config.create
                {
                    stream::prepare(&node.config).await.ok();
                }
                node.counters.audits_failed.add(1);
                debug!(%error, "topics could not be compared with the stream");
            }
        }
        // Whatever asks for it: not without end.
        time::sleep(PAUSE.min(interval(&node) / 2)).await;
    }
}

/// What is lost must be noticed before it is gone from the stream.
fn interval(node: &Node) -> Duration {
    let age = node.inspector.latest().view.max_age.unwrap_or(Duration::MAX);
    node.config.audit.min(age / 4).max(Duration::from_millis(50))
}

/// A topic and where its track was.
struct Compared {
    topic: Arc<Topic>,
    subject: String,
    verified: u64,
    position: u64,
}

async fn audit(node: &Arc<Node>, tracks: &Tracks) -> Result<Sight, ApiError> {
    let mut compared: Vec<Compared> = Vec::new();
    for topic in tracks.all() {
        let Some((verified, position)) = topic.places() else { continue };
        let subject = node.subjects.stored(&topic.name);
        compared.push(Compared { topic, subject, verified, position });
    }
    // After the places: what the stream does not have by now, it never had, or lost.
    let sight = node.inspector.look().await?;
    // So that those of one question have much the same to skip.
    compared.sort_unstable_by_key(|compared| compared.verified);
    let mut last_subject = None;
    let mut rest = &compared[..];
    while !rest.is_empty() {
        let mut octets = 0;
        let fits = |compared: &&Compared| {
            octets += compared.subject.len() + 3;
            octets <= SUBJECTS
        };
        let count = rest.iter().take(TOPICS).take_while(fits).count().max(1);
        let (these, others) = rest.split_at(count);
        ask(node, &sight, these, &mut last_subject).await?;
        rest = others;
    }
    Ok(sight)
}

/// `last_subject`: that of the stream's last message, once it was needed.
async fn ask(
    node: &Arc<Node>,
    sight: &Sight,
    topics: &[Compared],
    last_subject: &mut Option<String>,
) -> Result<(), ApiError> {
    let view = sight.view;
    let is_anew = |compared: &Compared| compared.verified > view.last;
    // Nothing came to any topic since the last time.
    let is_quiet =
        |compared: &Compared| compared.verified == view.last && compared.position <= view.last;
    let is_empty = view.first > view.last;
    let after = topics.iter().map(|compared| compared.verified).min().unwrap_or(0).min(view.last);
    let newests = if is_empty
        || topics.iter().all(|compared| is_quiet(compared) || is_anew(compared))
    {
        None
    } else {
        let mut subjects: Vec<_> = topics.iter().map(|compared| compared.subject.clone()).collect();
        let newests = node.reader.newest(&subjects, after).await?;
        if newests.through.is_none() {
            // None of them has a message, so the server does not say how much it has. The stream's last
            // message makes it say so.
            if last_subject.is_none() {
                *last_subject = node.reader.last_subject(&node.subjects.all_stored()).await?;
            }
            subjects.extend(last_subject.clone());
            Some(node.reader.newest(&subjects, after).await?)
        } else {
            Some(newests)
        }
    };
    let found: HashMap<_, _> =
        newests.iter().flat_map(|newests| newests.found.iter().cloned()).collect();
    for compared in topics {
        let place = found.get(&compared.subject).copied();
        let sequence = place.map(|place| place.sequence);
        let through = match &newests {
            None => Some(view.last),
            Some(newests) => newests.through.or(sequence),
        };
        // That message is gone already: the next audit finds another.
        let Some(through) = through else { continue };
        let newest = Newest {
            after: compared.verified,
            sequence: sequence.filter(|&sequence| sequence > compared.verified),
            through,
            position: compared.position,
            view,
        };
        compared.topic.audit(sight.audited(newest, place));
    }
    Ok(())
}
