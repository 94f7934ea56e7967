//! Forms as web services take them.

use super::prelude::*;
use crate::machine::words::base64;
use crate::wire::carried;

/// `application/x-www-form-urlencoded`: a mapping, or a list of pairs.
pub(super) fn urlencoded(body: &Value) -> Result<String, Failure> {
    let mut fields: Vec<(String, &Value)> = Vec::new();
    match body {
        Value::Map(map) => fields.extend(map.iter().map(|(name, value)| (name.clone(), value))),
        Value::List(items) => {
            for item in items {
                let Some([name, value]) = item.as_list() else {
                    return Err(Failure::new("failed to parse body as form_urlencoded: too many values to unpack (expected 2)"));
                };
                fields.push((name.to_text(), value));
            }
        }
        other => return Ok(other.to_text()),
    }
    let pairs = fields.iter().flat_map(|(name, value)| match value {
        Value::List(items) => items.iter().map(|item| (name, item.to_text())).collect::<Vec<_>>(),
        other => vec![(name, other.to_text())],
    });
    Ok(pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(&value))).collect::<Vec<_>>().join("&"))
}

fn encoded(text: &str) -> String {
    let letter = |byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// `multipart/form-data`: text, or mappings with `content` or the file `filename`, of a `mime_type`.
pub(super) fn multipart(machine: &Machine, body: &Value, boundary: &str) -> Result<Vec<u8>, Failure> {
    let wrong = |why: String| Failure::new(format!("failed to parse body as form-multipart: {why}"));
    let Value::Map(fields) = body else {
        return Err(wrong(format!("Mapping is required, cannot be type {}", body.python_type())));
    };
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"").into_bytes());
        match value {
            Value::Str(text) => out.extend(format!("\r\n\r\n{text}\r\n").into_bytes()),
            Value::Map(part) => out.extend(file(machine, part).map_err(|failure| wrong(failure.msg))?),
            other => return Err(wrong(format!("value must be a string, or mapping, cannot be type {}", other.python_type()))),
        }
    }
    out.extend(format!("--{boundary}--\r\n").into_bytes());
    Ok(out)
}

/// The rest of the head of one part, and the part.
fn file(machine: &Machine, part: &Map) -> Result<Vec<u8>, Failure> {
    let text = |key: &str| part.get(key).filter(|value| !value.is_null()).map(Value::to_text);
    let name = text("filename");
    let content = match (text("content"), &name) {
        (Some(content), _) => carried::bytes_of(&content),
        (None, Some(path)) => machine.read(&machine.path(path))?,
        (None, None) => return Err(Failure::new("at least one of filename or content must be provided")),
    };
    let mut out = Vec::new();
    if let Some(name) = &name {
        out.extend(format!("; filename=\"{}\"", name.rsplit('/').next().unwrap_or_default()).into_bytes());
    }
    let kind = text("mime_type").unwrap_or_else(|| "application/octet-stream".to_owned());
    out.extend(format!("\r\nContent-Type: {kind}").into_bytes());
    // A file goes in letters that nothing on the way changes, unless the task says otherwise.
    let encoding = text("multipart_encoding").unwrap_or_else(|| if text("content").is_none() { "base64" } else { "7or8bit" }.to_owned());
    if encoding == "base64" {
        out.extend(format!("\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n", base64(&content)).into_bytes());
    } else {
        out.extend(b"\r\n\r\n");
        out.extend(content);
        out.extend(b"\r\n");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded_as_the_web_wants_them() {
        let map: Map = [("a b".to_owned(), Value::from("c&d")), ("e".to_owned(), Value::from(vec!["1", "2"]))].into_iter().collect();
        assert_eq!(urlencoded(&map.into()).unwrap(), "a+b=c%26d&e=1&e=2");
        let pairs = Value::List(vec![Value::from(vec!["a", "1"]), Value::from(vec!["a", "2"])]);
        assert_eq!(urlencoded(&pairs).unwrap(), "a=1&a=2");
        assert!(urlencoded(&Value::from(vec!["foo"])).unwrap_err().msg.contains("too many values to unpack"));
    }
}
