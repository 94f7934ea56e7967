//! Bytes that are no UTF-8, carried along in text: each in a private character that becomes the byte again where text is written.

/// Where byte 0 would be; only 128 to 255 are used.
const PRIVATE: u32 = 0x0010_FE00;

/// `bytes` as text; [`bytes_of`] gives them back.
pub fn text_of(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(PRIVATE + u32::from(*byte))));
    }
    text
}

/// The bytes that `text` stands for.
pub fn bytes_of(text: &str) -> Vec<u8> {
    if !text.contains(|character| byte_of(character).is_some()) {
        return text.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn byte_of(character: char) -> Option<u8> {
    u32::from(character).checked_sub(PRIVATE).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_as_text() {
        for bytes in [&b"plain"[..], "Caf\u{e9}".as_bytes(), b"Caf\xe9 E\xf1e", b"\xff\x00\x80", "\u{10FE7F}".as_bytes()] {
            assert_eq!(bytes_of(&text_of(bytes.to_vec())), bytes);
        }
    }
}
