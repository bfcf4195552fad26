// Without a future call in scope there is nothing to schedule.
use futurecall_runtime::prelude::*;

fn schedule(pod: &Pod) {
    let _ = pod.future_calls().call_now().example().hello();
}

fn main() {}
