//! Questions to a web service that the host asks for an action, through `uri`: its network and its certificates count, as they
//! do where Ansible runs a module there.

use super::ActionCall;
use crate::run::item::Trouble;
use crate::wire::{Failure, Map, Value};

/// Whom to ask, and how.
#[derive(Default)]
pub(super) struct Service {
    /// What every address begins with.
    pub(super) base: String,
    /// Options of `uri`.
    pub(super) options: Map,
    /// Headers of every question.
    pub(super) headers: Map,
}

/// What a service said. One that says no is an answer too.
pub(super) struct Reply {
    pub(super) status: i64,
    pub(super) json: Value,
    pub(super) text: String,
}

impl Service {
    /// Sends `body` to `path`, also in check mode: what would change something there is for the action to leave out.
    pub(super) async fn ask(&self, call: &ActionCall<'_>, method: &str, path: &str, body: Option<Map>) -> Result<Reply, Trouble> {
        let mut params = self.options.clone();
        let mut set = |name: &str, value: Value| drop(params.insert(name.to_owned(), value));
        set("url", format!("{}{path}", self.base).into());
        set("method", method.into());
        set("headers", self.headers.clone().into());
        set("return_content", true.into());
        if let Some(body) = body {
            set("body", body.into());
            set("body_format", "json".into());
        }
        let data = match call.query("uri", params).await {
            Ok(outcome) => outcome.data,
            Err(Trouble::Failed(failure, _)) if status(&failure.data) > 0 => failure.data,
            Err(trouble) => return Err(trouble),
        };
        let text = data.get("content").map(Value::to_text).unwrap_or_default();
        Ok(Reply { status: status(&data), json: data.get("json").cloned().unwrap_or_default(), text })
    }
}

impl Reply {
    pub(super) fn good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Why the service said no to `what`: its own words where it has any.
    pub(super) fn refusal(&self, what: &str) -> Failure {
        let words = ["errors", "detail", "message"].iter().find_map(|name| self.json.get(name).filter(|words| !words.is_null()));
        let said = match words {
            Some(Value::List(items)) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(", "),
            Some(words) => words.to_text(),
            None => self.text.trim().to_owned(),
        };
        let said = if said.is_empty() { format!("HTTP Error {}", self.status) } else { said };
        Failure::new(format!("{said}, on {what}"))
    }
}

fn status(data: &Map) -> i64 {
    match data.get("status") {
        Some(Value::Int(status)) => *status,
        _ => -1,
    }
}

/// `text` as a part of an address.
pub(super) fn escaped(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
