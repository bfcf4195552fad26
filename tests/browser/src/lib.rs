//! The dashboard in a real browser: headless Chromium, driven over WebDriver.
//!
//! [`browser`] starts one and says what went wrong in it, [`site`] is a dashboard with known calls behind it, [`bulk`] one
//! with a million. The tests walk every page and action; `--bin screenshots` makes the pictures of `docs/dashboard`, and
//! `--bin large` measures every page.

pub mod browser;
pub mod bulk;
pub mod site;
