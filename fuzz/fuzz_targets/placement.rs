#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::placement(data);
});
