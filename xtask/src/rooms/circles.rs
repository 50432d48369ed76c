//! Circles of imports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::arrows::{Arrows, Place};

/// Rooms that each import the next, the last one the first.
pub(super) struct Circle(Vec<(String, Place)>);

impl Circle {
    /// The rooms in the order of the arrows.
    fn rooms(&self) -> Vec<&str> {
        self.0.iter().map(|(room, _)| room.as_str()).collect()
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [(one, _), (other, _)] => write!(f, "{one} and {other} import each other")?,
            _ => write!(f, "{} import each other in a circle", self.rooms().join(", "))?,
        }
        for (index, (room, place)) in self.0.iter().enumerate() {
            let (next, _) = &self.0[(index + 1) % self.0.len()];
            write!(f, "\n    {room} -> {next}: {place}")?;
        }
        Ok(())
    }
}

/// Every pair of rooms that import each other, and the shortest circle of each room that is only in
/// longer ones.
pub(super) fn circles(arrows: &Arrows) -> Vec<Circle> {
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        imports.entry(from).or_default().insert(to);
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut add = |rooms: Vec<&str>| {
        let mut key = rooms.clone();
        key.sort_unstable();
        if seen.insert(key.join(" ")) {
            let arrow = |index: usize| {
                let (from, to) = (rooms[index], rooms[(index + 1) % rooms.len()]);
                (from.to_owned(), arrows[&(from.to_owned(), to.to_owned())].clone())
            };
            found.push(Circle((0..rooms.len()).map(arrow).collect()));
        }
    };
    let mut in_pairs = BTreeSet::new();
    for (from, to) in arrows.keys() {
        if from < to && arrows.contains_key(&(to.clone(), from.clone())) {
            in_pairs.extend([from.as_str(), to.as_str()]);
            add(vec![from, to]);
        }
    }
    for room in imports.keys().filter(|room| !in_pairs.contains(*room)) {
        if let Some(rooms) = shortest(room, &imports) {
            add(rooms);
        }
    }
    found
}

/// The shortest circle through `room`.
fn shortest<'r>(
    room: &'r str,
    imports: &BTreeMap<&'r str, BTreeSet<&'r str>>,
) -> Option<Vec<&'r str>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([room]);
    while let Some(at) = queue.pop_front() {
        for next in imports.get(at).into_iter().flatten() {
            if *next == room {
                let mut rooms = vec![at];
                while let Some(before) = from.get(rooms[rooms.len() - 1]) {
                    rooms.push(before);
                }
                rooms.reverse();
                return Some(rooms);
            }
            if !from.contains_key(next) {
                from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}
