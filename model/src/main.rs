//! Checks the model, and that its invariants find every mutant:
//! `cargo run --release -p futurecall-model -- --pods 3 --more 1`.

use std::process::ExitCode;
use std::time::Instant;

use futurecall_model::check::{break_it, walk};
use futurecall_model::mutants::Mutant;
use futurecall_model::settings;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(size) = Size::read(&arguments) else {
        eprintln!("usage: futurecall-model [--pods N] [--more TICKS] [--threads N] [--setting NAME]");
        return ExitCode::from(2);
    };
    let is_sound = check_settings(&size);
    let is_sharp = check_mutants(&size);
    if is_sound && is_sharp { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How far to explore.
struct Size {
    pods: usize,
    more: u64,
    threads: usize,
    /// The only setting to explore.
    setting: Option<String>,
}

impl Size {
    fn read(arguments: &[String]) -> Option<Self> {
        let mut size = Self { pods: 2, more: 0, threads: 2, setting: None };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { return None };
            match name.as_str() {
                "--pods" => size.pods = value.parse().ok()?,
                "--more" => size.more = value.parse().ok()?,
                "--threads" => size.threads = value.parse().ok()?,
                "--setting" => size.setting = Some(value.clone()),
                _ => return None,
            }
        }
        Some(size)
    }

    fn includes(&self, setting: &str) -> bool {
        self.setting.as_deref().is_none_or(|only| only == setting)
    }
}

fn check_settings(size: &Size) -> bool {
    println!("{:<12}{:>12}{:>8}{:>10}  violations", "setting", "worlds", "depth", "seconds");
    let mut is_sound = true;
    let all = settings::all(size.pods, size.more);
    for setting in all.into_iter().filter(|setting| size.includes(setting.name)) {
        let (began, name) = (Instant::now(), setting.name);
        let walk = walk(setting, size.threads);
        let seconds = began.elapsed().as_secs_f64();
        println!("{name:<12}{:>12}{:>8}{seconds:>10.1}  {}", walk.worlds, walk.depth, walk.broken.len());
        for (invariant, way) in &walk.broken {
            println!("  {invariant}: {way:?}");
        }
        for sight in &walk.unseen {
            println!("  never seen: {sight}");
        }
        is_sound &= walk.broken.is_empty() && walk.unseen.is_empty();
    }
    is_sound
}

fn check_mutants(size: &Size) -> bool {
    let all: Vec<_> = Mutant::ALL.into_iter().filter(|(_, name, _)| size.includes(name)).collect();
    let mut caught = 0;
    for &(mutant, name, invariant) in &all {
        let way = settings::named(name).and_then(|setting| break_it(setting.with(mutant), invariant));
        match way {
            Some(way) => {
                caught += 1;
                println!("{:<28}{invariant}, in {} steps", format!("{mutant:?}"), way.len());
            }
            None => println!("{:<28}NOT CAUGHT by {invariant}", format!("{mutant:?}")),
        }
    }
    println!("mutants caught: {caught} of {}", all.len());
    caught == all.len()
}
