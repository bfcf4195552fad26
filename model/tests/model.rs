//! Every bounded state space satisfies the invariants, and every mutant violates the one that is there for it.

use futurecall_model::check::{break_it, walk};
use futurecall_model::mutants::Mutant;
use futurecall_model::settings;

#[test]
fn the_invariants_hold_in_every_world() {
    for setting in settings::all(2, 0) {
        let name = setting.name;
        let walk = walk(setting, 1);
        assert!(walk.broken.is_empty(), "{name}: {:#?}", walk.broken);
        assert!(walk.unseen.is_empty(), "{name} never shows {:?}: it proves nothing", walk.unseen);
        assert!(walk.worlds > 10_000, "{name} has {} worlds only", walk.worlds);
    }
}

#[test]
fn every_mutant_is_caught_by_its_invariant() {
    for (mutant, name, invariant) in Mutant::ALL {
        let setting = settings::named(name).expect("a setting of that name");
        let way = break_it(setting.with(mutant), invariant);
        let way = way.unwrap_or_else(|| panic!("{mutant:?} is not caught by {invariant} in {name}"));
        assert!(way.len() > 1, "{mutant:?}: {way:?}");
    }
}
