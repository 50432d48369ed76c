//! Runs the cells, as many at a time as do not disturb each other.

use std::path::Path;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cell::{Cell, Outcome};
use super::link::Link;
use super::programs::Programs;
use crate::failure::{Failure, Result};
use crate::process::run;

/// The total rate of all running relays, in bytes per second: a few percent of a core. A cell
/// beyond that runs alone.
const AT_A_TIME: u64 = 2_500_000;

/// How often the kernel's memory is sampled.
const LOOK: Duration = Duration::from_millis(250);

struct State {
    carried: u64,
    done: usize,
}

struct Run<'a> {
    state: Mutex<State>,
    ended: Condvar,
    cells: usize,
    started: Instant,
    planned: Duration,
    programs: &'a Programs,
    dir: &'a Path,
}

/// Returns the outcomes in the order of the cells; starts with the slowest.
pub(super) fn all(programs: &Programs, cells: &[Cell], dir: &Path) -> Vec<Result<Outcome>> {
    let volume: f64 =
        cells.iter().map(|cell| cell.takes().as_secs_f64() * cell.rate() as f64).sum();
    let longest = cells.iter().map(Cell::takes).max().unwrap_or_default();
    let all = Run {
        state: Mutex::new(State { carried: 0, done: 0 }),
        ended: Condvar::new(),
        cells: cells.len(),
        started: Instant::now(),
        planned: longest.max(Duration::from_secs_f64(volume / AT_A_TIME as f64)),
        programs,
        dir,
    };
    let bound = cells.iter().map(Cell::bound).max().unwrap_or_default();
    println!(
        "xtask slow-paths: {} cells, several at a time: about {} s if all succeed, {} s for the longest \
         if it fails",
        cells.len(),
        all.planned.as_secs(),
        bound.as_secs()
    );
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|&index| {
        (cells[index].rate() > AT_A_TIME, std::cmp::Reverse(cells[index].takes()))
    });
    let all = &all;
    let mut outcomes: Vec<(usize, Result<Outcome>)> = thread::scope(|scope| {
        let running: Vec<_> = order
            .into_iter()
            .map(|index| {
                let cell = &cells[index];
                all.wait_for_room(cell);
                (index, scope.spawn(move || all.one(index, cell)))
            })
            .collect();
        let joined = |(index, thread): (usize, thread::ScopedJoinHandle<'_, _>)| {
            let panicked = |_| Err(Failure::new("a thread panicked", "see above"));
            (index, thread.join().unwrap_or_else(panicked))
        };
        running.into_iter().map(joined).collect()
    });
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

impl Run<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_room(&self, cell: &Cell) {
        let full = |state: &mut State| state.carried > 0 && state.carried + cell.rate() > AT_A_TIME;
        let waited = self.ended.wait_while(self.lock(), full);
        waited.unwrap_or_else(PoisonError::into_inner).carried += cell.rate();
    }

    fn one(&self, index: usize, cell: &Cell) -> Result<Outcome> {
        let started = Instant::now();
        let outcome = self.watch(index, cell);
        let mut state = self.lock();
        state.carried -= cell.rate();
        state.done += 1;
        let said = match &outcome {
            Ok(outcome) if outcome.is_kept => "as expected".to_owned(),
            Ok(outcome) => format!("NOT AS EXPECTED: {}", outcome.answer),
            Err(failure) => format!("FAILED: {failure}"),
        };
        println!(
            "xtask slow-paths: {} of {}, about {} s left: {cell}: {said}, {} s",
            state.done,
            self.cells,
            self.planned.saturating_sub(self.started.elapsed()).as_secs(),
            started.elapsed().as_secs()
        );
        drop(state);
        self.ended.notify_all();
        outcome
    }

    fn watch(&self, index: usize, cell: &Cell) -> Result<Outcome> {
        let log = self.dir.join(format!("{index}.log"));
        let header = format!("{cell}\n");
        std::fs::write(&log, header)
            .map_err(|error| Failure::system(format!("writing {}", log.display()), &error))?;
        let mut link = Link::start(self.programs, cell, index, &log)?;
        let deadline = Instant::now() + cell.bound() + Duration::from_secs(20);
        let pause = cell.pause().map(|(after, pause)| (Instant::now() + after, pause));
        let mut paused = Signals::new(link.server.id(), pause);
        let mut kernel = 0;
        while link.client.is_running() && Instant::now() < deadline {
            paused.look()?;
            kernel = kernel.max(link.held_by_kernel());
            thread::sleep(LOOK);
        }
        let line = link.client.line(deadline)?;
        let answer: Option<Value> = line.and_then(|line| serde_json::from_str(&line).ok());
        let Some(answer) = answer else {
            let log = log.display();
            return Err(Failure::new("the client printed no result", format!("see {log}")));
        };
        Ok(Outcome { is_kept: cell.judge(&answer), answer, kernel })
    }
}

/// Stops a process for a while.
struct Signals {
    process: u32,
    /// The signals to send, the last one first.
    due: Vec<(Instant, &'static str)>,
}

impl Signals {
    fn new(process: u32, pause: Option<(Instant, Duration)>) -> Self {
        let due = pause.map(|(at, pause)| vec![(at + pause, "-CONT"), (at, "-STOP")]);
        Self { process, due: due.unwrap_or_default() }
    }

    fn look(&mut self) -> Result<()> {
        if let Some((_, signal)) = self.due.pop_if(|(at, _)| *at <= Instant::now()) {
            let mut kill = Command::new("kill");
            run(
                "kill",
                kill.args([signal, &self.process.to_string()]),
                "the server has ended; see its log",
            )?;
        }
        Ok(())
    }
}
