#![doc = include_str!("../README.md")]

mod access;
mod arguments;
mod assets;
mod builder;
mod chart;
mod failure;
mod guard;
mod layout;
mod live;
mod pages;
mod params;
mod serve;
mod text;
mod visit;

pub use self::access::{Access, Authorizer, Right};
pub use self::builder::{Arguments, Dashboard, dashboard};
