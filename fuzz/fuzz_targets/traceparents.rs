#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| futurecall_tests::fuzzed::run("traceparents", input));
