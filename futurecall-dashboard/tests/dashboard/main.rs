//! The dashboard from outside: requests, and what is answered.

mod acting;
mod attacks;
mod doors;
mod json;
mod looking;
mod schedules;
mod site;
