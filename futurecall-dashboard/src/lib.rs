#![doc = include_str!("../README.md")]

mod access;
mod arguments;
mod assets;
mod builder;
mod chart;
mod desk;
mod failure;
mod guard;
mod layout;
mod live;
mod pages;
mod params;
mod serve;
mod text;
mod visit;

pub use self::access::{Access, Arguments, Authorizer, Right};
pub use self::builder::{Dashboard, dashboard};
