// What is cancelled is a call, by its id, or an identifier, as text or number; never what could be either.
use futurecall_runtime::prelude::*;
use futurecall_runtime::uuid::Uuid;

pub struct User;

fn cancel(pod: &Pod, user: User, id: Uuid) {
    let _ = pod.future_calls().cancel(user);
    let _ = pod.future_calls().cancel(id);
}

fn main() {}
