//! Run `futurecall-torture --help` for the commands.

use std::process::ExitCode;

#[tokio::main(worker_threads = 4)]
async fn main() -> ExitCode {
    futurecall_torture::command().await.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}
