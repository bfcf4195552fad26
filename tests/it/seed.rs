//! The three pages of documentation that this product is modelled on, block by block, in Rust.

mod by_name;
mod recurring;
mod scheduling;
