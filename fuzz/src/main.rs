//! Lets libFuzzer loose on the target that `TARGET` names.
#![no_main]

use std::sync::LazyLock;

use countersign_fuzz::Target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    countersign_fuzz::target(&name).unwrap_or_else(|| panic!("TARGET={name:?} is no target"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
