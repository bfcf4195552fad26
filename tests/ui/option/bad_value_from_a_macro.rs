// A wrong value that a macro passed on is reported where it was given to the macro.
use futurecall_runtime::prelude::*;

macro_rules! block {
    ($type:ident, $every:literal, $timeout:expr) => {
        pub struct $type;

        #[future_call(timeout = $timeout)]
        impl $type {
            #[future_call(every = $every)]
            pub async fn hello(_session: &Session) {}
        }
    };
}

block!(Example, "3 parsecs", 30);

fn main() {}
