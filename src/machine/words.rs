//! Command lines as words: what `shlex` of Python does, because that is how playbooks are read; and bytes as letters.

/// Splits a command line into words, as a POSIX shell would, but expands nothing.
///
/// # Errors
/// A quotation mark or a backslash that leads nowhere, in Python's words.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(characters.next().ok_or("No escaped character")?),
            '\'' | '"' => quoted(&mut characters, character, word.get_or_insert_default())?,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(characters: &mut std::str::Chars, quote: char, word: &mut String) -> Result<(), String> {
    loop {
        match characters.next().ok_or("No closing quotation")? {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => match characters.next().ok_or("No escaped character")? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

/// `word`, quoted for a shell if it needs that.
pub fn quote(word: &str) -> String {
    let safe = |character: char| character.is_ascii_alphanumeric() || "@%+=:,./-_".contains(character);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// A command line that a shell reads as these words.
pub fn join<T: AsRef<str>>(words: &[T]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// Base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
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

/// Base64, anything else left out.
pub fn unbase64(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.extend(u8::try_from(bits >> count & 0xff));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_python_does() {
        for (text, words) in [
            ("echo 'a b' \"c d\" e\\ f", vec!["echo", "a b", "c d", "e f"]),
            ("  a\t b\n", vec!["a", "b"]),
            ("a'b c'\"d\"", vec!["ab cd"]),
            (r#""a\"b\\c\n" '\n'"#, vec![r#"a"b\c\n"#, r"\n"]),
            ("'' \"\"", vec!["", ""]),
            ("a #b", vec!["a", "#b"]),
            ("", vec![]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert_eq!(split("echo 'x").unwrap_err(), "No closing quotation");
        assert_eq!(split("echo \\").unwrap_err(), "No escaped character");
    }

    #[test]
    fn joined_words_split_again() {
        let words = ["plain", "", "two words", "it's", "$HOME", "a=b", "ü"];
        assert_eq!(join(&words), r#"plain '' 'two words' 'it'"'"'s' '$HOME' a=b 'ü'"#);
        assert_eq!(split(&join(&words)).unwrap(), words);
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("\u{ff}\u{fe}", "w7/Dvg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
