//! Host patterns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rappel::model::{Inventory, Pattern, Variables};
use rappel::text::{Diagnostics, Span, Spanned};

fuzz_target!(|text: &str| {
    let mut inventory = Inventory::default();
    for host in ["web1", "web2", "db1"] {
        inventory.add_host(host, &["web".to_owned()], Variables::default());
    }
    let pattern = Pattern::parse(&[Spanned::new(text.to_owned(), Span::default())]);
    inventory.select(&pattern, None, &mut Diagnostics::default());
});
