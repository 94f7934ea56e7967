//! Command lines as words: what `shlex` of Python does, because that is how playbooks are read.

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
}
