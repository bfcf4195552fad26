//! A drip-mail campaign: what a small web service does with futurecall.
//!
//! Users who sign up get a welcome mail immediately, and others a day, a week and 30 days later, unless they unsubscribe. The
//! account and its four calls are stored in **one transaction**, and so are unsubscribing and cancelling: no account
//! without its mails, no mails without their account.
//!
//! Read [`calls`] first (the future calls), then [`app`] (which schedules them), then [`web`].

pub mod account;
pub mod app;
pub mod calls;
pub mod database;
pub mod demo;
pub mod mail_log;
pub mod mailer;
pub mod serve;
pub mod web;
