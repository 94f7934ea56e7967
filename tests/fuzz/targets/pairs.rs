//! `key=value` arguments and what stands in one line after a module's name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rappel::text::Sources;

fuzz_target!(|text: &str| {
    let id = Sources::default().add("fuzz", text);
    drop(rappel::model::pairs(text, id, false));
    drop(rappel::model::pairs(text, id, true));
    drop(rappel::model::inline_options(text));
});
