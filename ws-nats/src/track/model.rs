//! The track against a model of a stream that republishes at most once, late or twice, loses messages
//! by age, number and size, and has replicas that lag; and of somebody who forges messages.

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*};

use super::*;

/// A message of the stream. `ours`: of the topic under test.
#[derive(Clone, Copy, Debug)]
struct Kept {
    sequence: u64,
    time: u64,
    ours: bool,
}

#[derive(Clone, Debug)]
enum Act {
    /// A message, of the topic or another, and what becomes of its republished copies.
    Publish {
        ours: bool,
        copies: Vec<u8>,
    },
    /// The oldest republished message in flight comes; those that were delayed come later.
    Arrive,
    /// Time passes.
    Pass(u64),
    /// A comparison with a replica that lags by so many messages.
    Audit {
        lag: u64,
    },
    /// As many reads as are asked for, of such a replica.
    Refill {
        lag: u64,
    },
    /// Somebody republishes what the stream did not: with this sequence and predecessor, counted from
    /// the position of the track.
    Forge {
        sequence: i64,
        last: i64,
    },
    Purge,
}

struct World {
    zero: Instant,
    now: u64,
    kept: Vec<Kept>,
    /// All that were ever published to the topic.
    ours: Vec<u64>,
    last: u64,
    /// The stream after each message, for replicas that lag.
    past: Vec<Vec<Kept>>,
    max_age: Option<u64>,
    per_topic: Option<usize>,
    size: usize,
    batch: usize,
    in_flight: Vec<(u8, Live<u64>)>,
    track: Track<u64>,
    begin: u64,
    delivered: Vec<u64>,
    forged: Vec<u64>,
    gaps: Vec<(u64, u64)>,
    suspects: bool,
    leader_needed: bool,
}

impl World {
    fn instant(&self) -> Instant {
        self.zero + Duration::from_millis(self.now)
    }

    fn trim(&mut self) {
        if let Some(age) = self.max_age {
            self.kept.retain(|kept| kept.time + age > self.now);
        }
        if let Some(most) = self.per_topic {
            let ours = self.kept.iter().filter(|kept| kept.ours).count();
            let mut surplus = ours.saturating_sub(most);
            self.kept.retain(|kept| {
                let goes = kept.ours && surplus > 0;
                surplus -= usize::from(goes);
                !goes
            });
        }
        let surplus = self.kept.len().saturating_sub(self.size);
        self.kept.drain(..surplus);
    }

    fn view(&self) -> View {
        View {
            first: self.kept.first().map_or(self.last + 1, |kept| kept.sequence),
            last: self.last,
            time: self.now,
            asked: self.instant(),
            got: self.instant(),
            max_age: self.max_age.map(Duration::from_millis),
            per_topic: self.per_topic.map(|most| most as u64),
            room: (self.size - self.kept.len()) as u64,
        }
    }

    fn publish(&mut self, ours: bool, copies: &[u8]) {
        let previous =
            self.kept.iter().rev().find(|kept| kept.ours).map_or(0, |kept| kept.sequence);
        self.last += 1;
        let place = Place { sequence: self.last, time: self.now };
        self.kept.push(Kept { sequence: self.last, time: self.now, ours });
        if ours {
            self.ours.push(self.last);
            for &delay in copies {
                let entry = Entry { place, bytes: 10, message: self.last };
                self.in_flight.push((delay, Live { entry, last: previous }));
            }
        }
        self.trim();
        self.past.push(self.kept.clone());
    }

    fn take(&mut self, steps: Vec<Step<u64>>) {
        for step in steps {
            match step {
                Step::Deliver(entry) => self.delivered.push(entry.message),
                Step::Known(_) => {}
                Step::Gap(from, to) => self.gaps.push((from.sequence, to.sequence)),
            }
        }
    }

    fn arrive(&mut self, live: Live<u64>) {
        let mut out = Vec::new();
        let seen = self.track.live(live, self.last + 50, self.instant(), &mut out);
        self.suspects |= seen == Seen::Suspect;
        self.take(out);
    }

    /// The topic's messages after `after`, as a replica has them.
    fn present(&self, from: u64, lag: u64) -> Vec<u64> {
        let past = &self.past[self.last.saturating_sub(lag) as usize];
        let is_young = |kept: &&Kept| self.max_age.is_none_or(|age| kept.time + age > self.now);
        let ours = past.iter().filter(is_young).filter(|kept| kept.ours);
        ours.map(|kept| kept.sequence).filter(|&sequence| sequence >= from).collect()
    }

    fn refill(&mut self, lag: u64) {
        let Some(want) = self.track.wants() else { return };
        let leader = self.leader_needed;
        let lag = if leader { 0 } else { lag };
        let all = self.present(want.after, lag);
        let (read, rest) = all.split_at(all.len().min(self.batch));
        let kept = read.first() == Some(&want.after);
        let times = |sequence| {
            let all = self.past.iter().flatten();
            all.clone().find(|kept| kept.sequence == sequence).unwrap().time
        };
        let entries: Vec<_> = read
            .iter()
            .filter(|&&sequence| sequence > want.after)
            .map(|&sequence| {
                let place = Place { sequence, time: times(sequence) };
                Entry { place, bytes: 10, message: sequence }
            })
            .collect();
        let read_to = read.last().copied().unwrap_or(0);
        let through = if leader && rest.is_empty() { self.last } else { read_to };
        if entries.is_empty() && !leader {
            self.leader_needed = true;
            return;
        }
        self.leader_needed = false;
        let batch = Batch {
            after: want.after,
            entries,
            kept,
            through,
            remaining: rest.len() as u64,
            view: (!kept).then(|| self.view()),
            leader,
            asked: self.instant(),
        };
        let mut out = Vec::new();
        self.track.refilled(batch, self.instant(), &mut out);
        self.take(out);
    }

    fn audit(&mut self, lag: u64) {
        let newest = Newest {
            after: self.track.verified(),
            sequence: self.present(self.track.verified() + 1, lag).last().copied(),
            through: self.last.saturating_sub(lag),
            position: self.track.position(),
            view: self.view(),
        };
        let mut out = Vec::new();
        self.track.audited(newest, &mut out);
        self.take(out);
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Publish { ours, copies } => self.publish(*ours, copies),
            Act::Arrive => {
                for (delay, _) in &mut self.in_flight {
                    *delay = delay.saturating_sub(1);
                }
                let next = self.in_flight.iter().position(|(delay, _)| *delay == 0);
                if let Some(next) = next {
                    let (_, live) = self.in_flight.remove(next);
                    self.arrive(live);
                }
            }
            Act::Pass(time) => {
                self.now += time;
                self.trim();
            }
            Act::Audit { lag } => self.audit(*lag),
            Act::Refill { lag } => self.refill(*lag),
            Act::Forge { sequence, last } => {
                let position = self.track.position();
                let sequence = position.saturating_add_signed(*sequence);
                let place = Place { sequence, time: self.now };
                self.forged.push(sequence);
                let entry = Entry { place, bytes: 10, message: u64::MAX };
                self.arrive(Live { entry, last: position.saturating_add_signed(*last) });
            }
            Act::Purge => {}
        }
        if self.suspects || self.track.is_doubted() {
            self.suspects = false;
            self.audit(0);
        }
        assert!(self.track.waiting_bytes() <= 60, "what waits is bounded");
    }

    /// Everything works again.
    fn settle(&mut self) {
        for _ in 0..3 {
            while !self.in_flight.is_empty() {
                self.act(&Act::Arrive);
            }
            self.audit(0);
            for _ in 0..10_000 {
                if self.track.wants().is_none() {
                    break;
                }
                self.refill(0);
            }
            assert_eq!(self.track.wants(), None, "a refill ends: {:?}", self.track);
        }
    }

    fn check(&self) {
        let real: Vec<_> = self.delivered.iter().copied().filter(|&s| s != u64::MAX).collect();
        if self.forged.is_empty() {
            assert!(real.is_sorted_by(|a, b| a < b), "in order, once: {real:?}");
        }
        let mut once = real.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), real.len(), "once: {real:?}");
        for &sequence in self.ours.iter().filter(|&&sequence| sequence > self.begin) {
            let told = self.gaps.iter().any(|&(from, to)| from < sequence && sequence < to);
            // Somebody who forges the sequence of a real message passes for it.
            let passes = |forged: &&u64| **forged >= sequence && self.ours.contains(forged);
            let forged = self.forged.iter().any(|forged| passes(&forged));
            assert!(
                told || forged || once.binary_search(&sequence).is_ok(),
                "{sequence} was lost in silence; delivered {real:?}, gaps {:?}, {:?}",
                self.gaps,
                self.track
            );
        }
        for sequence in &real {
            assert!(self.ours.contains(sequence), "{sequence} is not of this topic");
        }
    }
}

fn copies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => Just(vec![1]),
        1 => Just(vec![]),
        1 => Just(vec![1, 1]),
        1 => Just(vec![1, 6]),
        1 => Just(vec![4]),
    ]
}

fn act(forge: bool) -> impl Strategy<Value = Act> {
    let lag = || prop_oneof![Just(0), 0..6_u64];
    let forged =
        ((-3_i64..20), (-3_i64..10)).prop_map(|(sequence, last)| Act::Forge { sequence, last });
    prop_oneof![
        12 => (any::<bool>(), copies()).prop_map(|(ours, copies)| Act::Publish { ours, copies }),
        14 => Just(Act::Arrive),
        3 => (0..120_u64).prop_map(Act::Pass),
        1 => (0..2_000_u64).prop_map(Act::Pass),
        2 => lag().prop_map(|lag| Act::Audit { lag }),
        6 => lag().prop_map(|lag| Act::Refill { lag }),
        1 => if forge { forged.boxed() } else { Just(Act::Purge).boxed() },
    ]
}

fn run(
    before: &[bool],
    acts: &[Act],
    (max_age, per_topic, size, batch): (Option<u64>, Option<usize>, usize, usize),
) {
    let zero = Instant::now();
    let mut world = World {
        zero,
        now: 10_000,
        kept: Vec::new(),
        ours: Vec::new(),
        last: 0,
        past: vec![Vec::new()],
        max_age,
        per_topic,
        size,
        batch,
        in_flight: Vec::new(),
        track: Track::new(60, 0, zero),
        begin: 0,
        delivered: Vec::new(),
        forged: Vec::new(),
        gaps: Vec::new(),
        suspects: false,
        leader_needed: false,
    };
    for &ours in before {
        world.publish(ours, &[]);
    }
    let mut out = Vec::new();
    world.begin = world.last;
    world.track = Track::new(60, world.last, zero);
    world.track.start(world.view(), None, &mut out);
    world.take(out);
    for act in acts {
        world.act(act);
    }
    world.settle();
    world.check();
}

fn limits() -> impl Strategy<Value = (Option<u64>, Option<usize>, usize, usize)> {
    (
        proptest::option::of(Just(1_000_u64)),
        proptest::option::of(1..6_usize),
        prop_oneof![Just(1_000_usize), 3..20_usize],
        2..6_usize,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    // Promises 1, 2 and 4.
    #[test]
    fn nothing_is_lost_in_silence(
        before in vec(any::<bool>(), 0..8),
        acts in vec(act(false), 0..120),
        limits in limits(),
    ) {
        run(&before, &acts, limits);
    }

    #[test]
    fn forged_messages_lose_nothing(
        before in vec(any::<bool>(), 0..8),
        acts in vec(act(true), 0..120),
        limits in limits(),
    ) {
        run(&before, &acts, limits);
    }
}
