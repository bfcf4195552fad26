//! The ceiling: the same work as plain SQL, by a loop that claims calls in batches, and deletes them in batches.

mod payload;
mod postgres;
mod sqlite;

use peer_work::{Order, Result, run};

#[tokio::main]
async fn main() -> Result {
    let order = Order::from_args(std::env::args().skip(1))?;
    if order.store() == "SQLite" {
        run::<sqlite::Raw>(order).await
    } else {
        run::<postgres::Raw>(order).await
    }
}
