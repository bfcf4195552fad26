//! Nothing: this crate is its cases, each a file that opens with the rule it breaks, and the texts they must give.
