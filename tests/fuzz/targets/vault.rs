//! Envelopes of vaults, whole and cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rappel::text::vault::Vault;

fuzz_target!(|text: &str| {
    let vault = Vault::with_password("pw".to_owned());
    drop(vault.open(text));
    drop(vault.open(&format!("$ANSIBLE_VAULT;1.1;AES256\n{text}")));
});
