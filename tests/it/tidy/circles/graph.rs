//! Finds circles among files, where a module and its descendants form a group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::tree::{Arrow, Tree};

/// Houses that all lead to each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Circle {
    /// Each house by the file of its module.
    pub(super) houses: BTreeSet<PathBuf>,
    /// One arrow from house to house; its own files may be descendants of those.
    arrows: BTreeMap<(PathBuf, PathBuf), Arrow>,
}

impl Circle {
    /// Returns the shortest ways around: for each house one that it lies on, each way once.
    pub(super) fn ways(&self) -> Vec<String> {
        let mut known: BTreeSet<Vec<&Path>> = BTreeSet::new();
        let mut shown = Vec::new();
        for house in &self.houses {
            let mut way = self.way_around(house);
            let first = (0..way.len()).min_by_key(|at| way[*at]).unwrap_or(0);
            way.rotate_left(first);
            if known.insert(way.clone()) {
                shown.push(self.shown(&way));
            }
        }
        shown
    }

    /// Returns the shortest way from a house back to it, which it begins with.
    fn way_around(&self, start: &Path) -> Vec<&Path> {
        let mut came_from: BTreeMap<&Path, &Path> = BTreeMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(house) = waiting.pop_front() {
            for (from, to) in self.arrows.keys().filter(|(from, _)| from == house) {
                if !came_from.contains_key(to.as_path()) {
                    came_from.insert(to, from);
                    waiting.push_back(to);
                }
            }
        }
        let mut way = Vec::new();
        let mut house = came_from[start];
        while house != start {
            way.push(house);
            house = came_from[house];
        }
        way.push(house);
        way.reverse();
        way
    }

    fn shown(&self, way: &[&Path]) -> String {
        let names: Vec<String> =
            way.iter().chain(&way[..1]).map(|house| house.display().to_string()).collect();
        let mut text = names.join(" -> ");
        for (at, from) in way.iter().enumerate() {
            let to = way[(at + 1) % way.len()];
            let Arrow { from, to, item } = &self.arrows[&((*from).to_owned(), to.to_owned())];
            write!(text, "\n    {} names {item} of {}", from.display(), to.display())
                .expect("a String takes all");
        }
        text
    }
}

/// Finds the circles of a crate.
pub(super) fn circles(tree: &Tree) -> Vec<Circle> {
    let mut arrows = Arrows::new();
    for arrow in tree.arrows() {
        arrows.entry(arrow.from.clone()).or_default().push(arrow);
    }
    let files = tree.files().into_iter().map(Path::to_owned).collect();
    let mut found = Vec::new();
    search(tree, &arrows, &files, &mut found);
    found
}

/// By the file that they leave.
type Arrows = BTreeMap<PathBuf, Vec<Arrow>>;

fn search(tree: &Tree, arrows: &Arrows, files: &BTreeSet<PathBuf>, found: &mut Vec<Circle>) {
    for mut component in components(arrows, files) {
        // A module among its children may lead to them and they to it; they must still have an order themselves.
        if let Some(head) = head(tree, &component) {
            component.remove(&head);
            search(tree, arrows, &component, found);
            continue;
        }
        let houses = houses(tree, &component);
        let mut circle = Circle { houses: houses.keys().cloned().collect(), arrows: BTreeMap::new() };
        let house_of =
            |file: &Path| houses.iter().find(|(_, files)| files.contains(file)).map(|(house, _)| house);
        for arrow in component.iter().filter_map(|file| arrows.get(file)).flatten() {
            if let (Some(from), Some(to)) = (house_of(&arrow.from), house_of(&arrow.to))
                && from != to
            {
                circle.arrows.entry((from.clone(), to.clone())).or_insert_with(|| arrow.clone());
            }
        }
        found.push(circle);
        for house in houses.values() {
            search(tree, arrows, house, found);
        }
    }
}

/// Returns the file that all others of a component are descendants of.
fn head(tree: &Tree, component: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let is_above = |head: &Path, file: &Path| head == file || tree.ancestors(file).contains(&head);
    component.iter().find(|head| component.iter().all(|file| is_above(head, file))).cloned()
}

/// Divides a component into the houses that stand side by side in the nearest module that all of it is in.
fn houses(tree: &Tree, component: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let from_root = |file: &Path| {
        let mut files: Vec<PathBuf> = tree.ancestors(file).into_iter().map(Path::to_owned).collect();
        files.reverse();
        files.push(file.to_owned());
        files
    };
    let ways: Vec<Vec<PathBuf>> = component.iter().map(|file| from_root(file)).collect();
    let shared = |at: &usize| ways.iter().all(|way| way.get(*at) == ways[0].get(*at));
    let depth = (0..ways[0].len()).take_while(shared).count();
    let mut houses: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for (file, way) in component.iter().zip(&ways) {
        houses.entry(way[depth].clone()).or_default().insert(file.clone());
    }
    houses
}

/// Returns the strongly connected components of two files and more.
fn components(arrows: &Arrows, files: &BTreeSet<PathBuf>) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        files.iter().map(|file| (file.as_path(), reached(arrows, files, file))).collect();
    let mut components = Vec::new();
    let mut taken: BTreeSet<&Path> = BTreeSet::new();
    for (file, others) in &reached {
        if taken.contains(file) {
            continue;
        }
        let component: BTreeSet<&Path> =
            others.iter().filter(|other| reached[*other].contains(file)).copied().collect();
        taken.extend(&component);
        if component.len() > 1 {
            components.push(component.into_iter().map(Path::to_owned).collect());
        }
    }
    components
}

fn reached<'a>(arrows: &'a Arrows, files: &BTreeSet<PathBuf>, start: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![start];
    while let Some(file) = waiting.pop() {
        for arrow in arrows.get(file).into_iter().flatten().filter(|arrow| files.contains(&arrow.to)) {
            if reached.insert(arrow.to.as_path()) {
                waiting.push(&arrow.to);
            }
        }
    }
    reached
}
