#![doc = include_str!("../README.md")]

mod access;
mod arguments;
mod assets;
mod builder;
mod chart;
mod csrf;
mod error_page;
mod layout;
mod live;
mod pages;
mod params;
mod request_context;
mod serve;
mod shared_state;
mod text;

pub use self::access::{Access, Arguments, Authorizer, Right};
pub use self::builder::{Dashboard, dashboard};
