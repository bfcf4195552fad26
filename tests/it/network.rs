//! Across a network to PostgreSQL: how many round trips a start takes, and when calls start.

use std::time::{Duration, Instant, SystemTime};

use futurecall_runtime::Role;
use futurecall_runtime::prelude::*;
use futurecall_testbed::network::{Network, Server};
use futurecall_tests::database::{TestDatabase, postgres};
use futurecall_tests::proxy::redirected;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// When a handler began, and by how much it was late, by the clock that the server has as well.
struct Began {
    at: Instant,
    late: Duration,
}

struct Report(UnboundedSender<Began>);

impl InvokableFutureCall for Report {
    type Data = String;

    async fn invoke(&self, session: &Session, _data: Option<String>) -> Result<(), BoxError> {
        let (at, now) = (Instant::now(), SystemTime::now());
        let due = Duration::from_micros(session.call().due.as_micros().unsigned_abs());
        let late = now.duration_since(SystemTime::UNIX_EPOCH + due).expect("no call starts early");
        self.0.send(Began { at, late })?;
        Ok(())
    }
}

/// A pod of three call types that reaches this database across a network, and one beside it that only schedules.
struct Far {
    database: TestDatabase,
    round_trip: Duration,
    network: Network,
    near: Pod,
    sender: UnboundedSender<Began>,
    began: UnboundedReceiver<Began>,
}

impl Far {
    async fn new(round_trip: Duration) -> Self {
        let database = postgres().await;
        let (_, server) = redirected(&database.url, ([127, 0, 0, 1], 0).into());
        let network = Network::before(Server::Tcp(server), round_trip).expect("a free port");
        let near = Pod::builder().without_discovery().role(Role::Serverless).schema(&database.schema);
        let near = near.database_url(&database.url).start().await.expect("it migrates");
        let (sender, began) = unbounded_channel();
        Self { database, round_trip, network, near, sender, began }
    }

    async fn pod(&self) -> Pod {
        let url = redirected(&self.database.url, self.network.address).0;
        let mut builder = Pod::builder().without_discovery().schema(&self.database.schema).database_url(url);
        for name in ["far.first", "far.second", "far.third"] {
            builder = builder.register_future_call(name, Report(self.sender.clone()));
        }
        builder.start().await.expect("it starts")
    }

    async fn end(self, pod: Pod) {
        pod.shutdown().await;
        self.near.shutdown().await;
        self.database.drop().await;
    }
}

/// The tables are there; the first of the two pods tells the database the shapes of its calls as well, and both look for
/// broken calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_takes_less_than_twenty_round_trips_to_its_first_handler() {
    // So long that what the machine itself takes hardly counts.
    let mut far = Far::new(Duration::from_millis(100)).await;
    for start in ["first", "second"] {
        far.near.future_call_with_delay("far.first", None::<&str>, Duration::ZERO).await.expect("stored");
        let before = Instant::now();
        let pod = far.pod().await;
        let began = far.began.recv().await.expect("the pod lives").at;
        let round_trips = (began - before).as_secs_f64() / far.round_trip.as_secs_f64();
        println!("{start} start: {round_trips:.1} round trips to the first handler");
        assert!(round_trips <= 20.0, "{start} start: {round_trips:.1}");
        if start == "first" {
            pod.shutdown().await;
        } else {
            return far.end(pod).await;
        }
    }
}

/// The pod is idle before each call, so that its connections are asked whether they live; and now and then it looks at
/// everything before it claims.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_calls_start_on_their_moment_across_a_network() {
    const CALLS: u32 = 16;
    let mut far = Far::new(Duration::from_millis(40)).await;
    let pod = far.pod().await;
    let first = SystemTime::now() + Duration::from_secs(1);
    for number in 0..CALLS {
        let due = first + Duration::from_millis(170) * number;
        far.near.future_call_at_time("far.second", None::<&str>, due).await.expect("stored");
    }
    let mut late = Vec::new();
    for _ in 0..CALLS {
        late.push(far.began.recv().await.expect("the pod lives").late);
    }
    println!("late: {late:?}");
    // Half a round trip is what the pod cannot know of the database's clock.
    late.sort_unstable();
    assert!(late[late.len() - 2] <= far.round_trip + Duration::from_millis(10), "{late:?}");
    far.end(pod).await;
}
