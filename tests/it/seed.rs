//! The three pages of documentation that this product is modelled on, block by block, in their Rust form.

mod by_name;
mod recurring;
mod scheduling;
