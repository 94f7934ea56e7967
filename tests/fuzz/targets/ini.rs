//! Inventories and `ansible.cfg`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rappel::text::{Diagnostics, Sources, config, ini};

fuzz_target!(|text: &str| {
    let sources = Sources::default();
    let id = sources.add("fuzz.ini", text);
    ini::parse(&sources, id, &mut Diagnostics::default());
    config::parse(&sources, id, &mut Diagnostics::default());
});
