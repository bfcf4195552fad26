// A facade method is as visible as its method.
use futurecall_runtime::prelude::*;

mod calls {
    use futurecall_runtime::prelude::*;

    pub struct Example;

    #[future_call]
    impl Example {
        pub async fn shown(_session: &Session) {}
        pub(self) async fn hidden(_session: &Session) {}
    }
}

fn schedule(pod: &Pod) {
    use calls::ExampleCallsExt;
    let _ = pod.future_calls().call_now().example().shown();
    let _ = pod.future_calls().call_now().example().hidden();
}

fn main() {}
