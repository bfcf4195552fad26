//! The example's program, run as it is: the demonstration, and `serve` in two processes.

mod demo;
mod serve;
mod smtp;
