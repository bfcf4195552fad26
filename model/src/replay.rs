//! Replays the trace of a real run in the model: every line must be a step that the model allows, with the model's
//! result, and every invariant must hold after it.
//!
//! What a trace does not show is interpreted in the run's favour: the reply to a claim arrives at once, and a pod
//! receives the reply to every renewal, but notices a cancellation only when the trace has that. A real pod believes
//! less, so it starts nothing that the model would not.

mod lines;

use std::collections::BTreeMap;
use std::fmt;

use stateright::{Expectation, Property};

use crate::action::{Action, Answer};
use crate::invariants::always;
use crate::line::Line;
use crate::settings::Setting;
use crate::state::{Budget, World};
use crate::step::Protocol;

/// Why a trace is not one of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the line, from 0.
    pub number: usize,
    /// The line.
    pub line: Box<Line>,
    /// The reason.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is none that the protocol allows: {}: {:?}", self.number, self.why, self.line)
    }
}

impl std::error::Error for Refusal {}

/// Replays a trace; `lease` and `ahead` are those of the pods, in microseconds. Returns the final state.
pub fn replay(lines: &[Line], lease: u64, ahead: u64) -> Result<World, Refusal> {
    let mut replay = Replay::new(lease, ahead);
    for (number, line) in lines.iter().enumerate() {
        replay.take(line).map_err(|why| Refusal { number, line: Box::new(line.clone()), why })?;
    }
    Ok(replay.setting.start)
}

/// The state so far.
struct Replay {
    /// Its origin is the current time of the replay.
    setting: Setting,
    invariants: Vec<Property<Setting>>,
    calls: BTreeMap<String, usize>,
    pods: BTreeMap<String, usize>,
    schedules: BTreeMap<String, usize>,
}

impl Replay {
    fn new(lease: u64, ahead: u64) -> Self {
        let protocol = Protocol { lease, ahead, backoff: 0, mutant: None };
        let start = World::default();
        Self {
            setting: Setting { name: "replay", protocol, start, horizon: u64::MAX, sights: Vec::new() },
            invariants: always(),
            calls: BTreeMap::new(),
            pods: BTreeMap::new(),
            schedules: BTreeMap::new(),
        }
    }

    fn take(&mut self, line: &Line) -> Result<(), String> {
        let world = &mut self.setting.start;
        world.budget = BOUNDLESS;
        if line.at < world.now {
            return Err("the clock went back".to_owned());
        }
        world.now = line.at;
        self.tell(&line.what)?;
        for invariant in &self.invariants {
            debug_assert!(matches!(invariant.expectation, Expectation::Always));
            if !(invariant.condition)(&self.setting, &self.setting.start) {
                return Err(format!("{} does not hold", invariant.name));
            }
        }
        Ok(())
    }

    /// Takes a step of the model.
    fn step(&mut self, action: &Action) -> Result<Answer, String> {
        let Some((world, answer)) = self.setting.protocol.step(&self.setting.start, action) else {
            return Err(format!("{action:?} cannot happen now"));
        };
        self.setting.start = world;
        Ok(answer)
    }

    fn world(&mut self) -> &mut World {
        &mut self.setting.start
    }
}

/// A budget that does not limit faults: any may happen in a real run.
const BOUNDLESS: Budget = Budget {
    crashes: u8::MAX,
    pauses: u8::MAX,
    losses: u8::MAX,
    cancels: u8::MAX,
    moves: u8::MAX,
    failures: u8::MAX,
    stops: u8::MAX,
    releases: u8::MAX,
    transactions: u8::MAX,
    again: u8::MAX,
};
