//! The program as it is, run on a SQLite file and on PostgreSQL. What it prints stands under `tests/snapshots`, the same for
//! both databases; `UPDATE_EXPECT=1 cargo test -p futurecall-cli` writes it anew.

mod acting;
mod codes;
#[cfg(all(unix, feature = "dashboard"))]
mod dashboard;
mod doctor;
mod help;
mod hostile;
mod looking;
mod migrating;
mod program;
mod snapshot;
#[cfg(unix)]
mod terminal;
mod tour;
mod world;
