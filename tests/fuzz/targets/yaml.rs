//! Playbooks: YAML, its tasks, and the pictures of what is wrong with them.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rappel::event::Finding;
use rappel::model::{Level, Loader};
use rappel::report::snippet;
use rappel::text::{Diagnostics, Sources, yaml};

fuzz_target!(|text: &str| {
    let sources = Sources::default();
    let id = sources.add("fuzz.yml", text);
    let loader = Loader::new(sources.clone(), Arc::default());
    let mut diags = Diagnostics::default();
    for node in yaml::parse(&sources, id, &mut diags) {
        loader.tasks_of(&node, Level::Task, &mut diags);
    }
    for diagnostic in diags.into_vec() {
        snippet::draw(&Finding::new(diagnostic, &sources), true);
    }
});
