//! Reads a file of the host into a result, as base64.
//!
//! ```yaml
//! - slurp: {src: /etc/machine-id}
//!   register: id
//! ```

use super::prelude::*;

/// A larger file does not belong in a variable.
const MAX: u64 = 32 << 20;

params! {
    pub struct Slurp {
        /// The file.
        src | path: PathText,
    }
}

impl Module for Slurp {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let path = machine.path(&self.src.0);
        let shown = path.display();
        match machine.stat(&path, true)? {
            None => return Err(Failure::new(format!("File not found: {shown}"))),
            Some(stat) if stat.is_dir() => return Err(Failure::new(format!("Source is a directory and must be a file: {shown}"))),
            Some(stat) if stat.meta.len() > MAX => {
                return Err(Failure::new(format!("{shown} has {} bytes, over the limit of {MAX} of `slurp`: use `fetch`", stat.meta.len())));
            }
            Some(_) => {}
        }
        let content = base64(&machine.read(&path)?);
        Ok(machine.outcome().with("content", content).with("encoding", "base64").with("source", path.display().to_string()))
    }
}

/// Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain(std::iter::repeat(&0)).take(3).fold(0_usize, |group, byte| group << 8 | usize::from(*byte));
        for index in 0..4 {
            let letter = ALPHABET.get(group >> (18 - 6 * index) & 63).copied().unwrap_or(b'=');
            text.push(if index > chunk.len() { '=' } else { letter.into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("\u{ff}\u{fe}", "w7/Dvg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
