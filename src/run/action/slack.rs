//! Sends a message to Slack, from the controller.
//!
//! ```yaml
//! - slack: {token: "{{ slack_token }}", channel: "#deployments", msg: "{{ inventory_hostname }} is on {{ release }}"}
//!   run_once: true
//! ```

use std::time::Duration;

use super::prelude::*;
use crate::machine::http::Exchange;

pub(super) const REVERSIBLE: Reversible = Reversible::Impossible;

params! {
    pub struct Slack {
        /// The end of an incoming webhook's address (`T0/B0/x`), or a token that begins with `xox`.
        token: String,
        /// The text.
        msg: Option<String>,
        /// The channel; a webhook has one of its own.
        channel: Option<String>,
        /// The message that this one answers.
        thread_id: Option<String>,
        /// The message that this one replaces; needs a token.
        message_id: Option<String>,
        /// Who says it.
        username: String = "Ansible",
        /// A picture.
        icon_url: String = "https://docs.ansible.com/favicon.ico",
        /// A picture, `:rocket:`, instead.
        icon_emoji: Option<String>,
        /// Link names: 1 or 0.
        link_names: i64 = 1,
        /// How text is read: `full` or `none`.
        parse: Option<String>,
        /// Check the certificate.
        validate_certs: bool = true,
        /// The colour of the bar at its side: `normal` for none, `good`, `warning`, `danger`, `#00ff00`.
        color: String = "normal",
        /// Attachments, as Slack describes them.
        attachments: Option<Vec<Map>>,
        /// Blocks, as Slack describes them.
        blocks: Option<Vec<Map>>,
        /// The old way to name a workspace: `shop.slack.com`.
        domain: Option<String>,
        /// Put a `#` before a channel that has none: `always`, `never`, `auto`.
        prepend_hash: String = "never",
    }
}

impl Slack {
    fn payload(&self) -> Map {
        let mut payload = Map::new();
        let mut set = |name: &str, value: Value| drop(payload.insert(name.to_owned(), value));
        match &self.msg {
            Some(text) if self.color == "normal" => set("text", text.as_str().into()),
            Some(text) => {
                let bar = [("text", text.as_str()), ("color", self.color.as_str()), ("fallback", text.as_str())];
                let mut bar: Map = bar.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
                bar.insert("mrkdwn_in".to_owned(), vec!["text"].into());
                set("attachments", Value::List(vec![bar.into()]));
            }
            None => {}
        }
        if let Some(channel) = &self.channel {
            let bare = !channel.starts_with(['#', '@', 'C', 'G', 'D']);
            let hash = self.prepend_hash == "always" && !channel.starts_with(['#', '@']) || self.prepend_hash == "auto" && bare;
            set("channel", if hash { format!("#{channel}") } else { channel.clone() }.into());
        }
        for (name, value) in [("thread_ts", &self.thread_id), ("ts", &self.message_id), ("parse", &self.parse)] {
            if let Some(value) = value {
                set(name, value.as_str().into());
            }
        }
        set("username", self.username.as_str().into());
        match &self.icon_emoji {
            Some(emoji) => set("icon_emoji", emoji.as_str().into()),
            None => set("icon_url", self.icon_url.as_str().into()),
        }
        set("link_names", self.link_names.into());
        if let Some(attachments) = &self.attachments {
            let mut all = payload.shift_remove("attachments").and_then(|value| value.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
            all.extend(attachments.iter().cloned().map(Value::from));
            payload.insert("attachments".to_owned(), Value::List(all));
        }
        if let Some(blocks) = &self.blocks {
            payload.insert("blocks".to_owned(), blocks.clone().into());
        }
        payload
    }

    /// Where to, and with which token in the head.
    fn address(&self) -> Result<(String, Option<&str>), Failure> {
        if let Some(domain) = &self.domain {
            return Ok((format!("https://{domain}/services/hooks/incoming-webhook?token={}", self.token), None));
        }
        if self.token.starts_with("xox") {
            let verb = if self.message_id.is_some() { "chat.update" } else { "chat.postMessage" };
            return Ok((format!("https://slack.com/api/{verb}"), Some(&self.token)));
        }
        if self.token.matches('/').count() < 2 {
            return Err(Failure::new(
                "Slack has updated its webhook API.  You need to specify a token of the form XXXX/YYYY/ZZZZ in your playbook",
            ));
        }
        Ok((format!("https://hooks.slack.com/services/{}", self.token), None))
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Slack = call.decode()?;
    call.item.task.shared.events.hide(&params.token);
    let (url, bearer) = params.address()?;
    if call.checking() {
        return Ok(Outcome { changed: true, ..Outcome::default() }.with("msg", "OK").into());
    }
    let payload = params.payload();
    let mut headers = vec![("Content-Type".to_owned(), "application/json; charset=UTF-8".to_owned())];
    headers.extend(bearer.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))));
    let exchange = Exchange {
        method: "POST".to_owned(),
        body: serde_json::to_vec(&payload).map_err(|error| Failure::new(error.to_string()))?,
        headers,
        validate: params.validate_certs,
        timeout: Duration::from_secs(30),
        ..Exchange::get(url)
    };
    let sent = tokio::task::spawn_blocking(move || exchange.send()).await.map_err(|error| Failure::new(error.to_string()))?;
    let answer = sent.map_err(|error| Failure::new(format!("failed to send message: {error}")))?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status != 200 {
        return Err(Failure::new(format!("failed to send message: HTTP Error {}: {text}", answer.status)).into());
    }
    let mut outcome = Outcome { changed: true, ..Outcome::default() }.with("msg", "OK");
    if bearer.is_some() {
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        if said.get("ok").and_then(Value::to_bool) != Some(true) {
            let why = said.get("error").map_or(text, Value::to_text);
            return Err(Failure::new(format!("Slack API error: {why}")).into());
        }
        for key in ["ts", "channel"] {
            outcome = outcome.with(key, said.get(key).cloned().unwrap_or_default());
        }
        outcome = outcome.with("api", said).with("payload", payload);
    } else {
        outcome = outcome.with("webhook", text);
    }
    Ok(outcome.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared as _;

    #[test]
    fn messages_are_as_slack_wants_them() {
        let slack = |text: &str| Slack::decode(&serde_json::from_str(text).unwrap()).unwrap();
        let plain = slack(r#"{"token": "T/B/x", "msg": "done", "channel": "ops", "prepend_hash": "auto", "icon_emoji": ":rocket:"}"#);
        assert_eq!(
            serde_json::to_string(&plain.payload()).unwrap(),
            r##"{"text":"done","channel":"#ops","username":"Ansible","icon_emoji":":rocket:","link_names":1}"##
        );
        assert_eq!(plain.address().unwrap().0, "https://hooks.slack.com/services/T/B/x");
        let barred = slack(r#"{"token": "xoxb-1", "msg": "done", "color": "good", "message_id": "1.2"}"#);
        assert!(serde_json::to_string(&barred.payload()).unwrap().starts_with(r#"{"attachments":[{"text":"done","color":"good""#));
        assert_eq!(barred.address().unwrap(), ("https://slack.com/api/chat.update".to_owned(), Some("xoxb-1")));
        assert!(slack(r#"{"token": "x", "msg": "done"}"#).address().is_err());
    }
}
