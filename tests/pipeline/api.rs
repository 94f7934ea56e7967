//! Stand-ins for GitHub's API and Slack's webhook. They hold each request against the published description, and refuse what the
//! real ones would refuse.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

/// A stand-in that listens.
pub struct Api {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    issues: Vec<Json>,
    messages: Vec<Json>,
    refused: Vec<String>,
    /// Answer nothing but 503.
    away: bool,
}

struct Request {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: HashMap<String, String>,
    body: String,
}

impl Api {
    /// GitHub, for one repository and one token.
    pub fn github(repository: &str, token: &str) -> Self {
        let (repository, token) = (repository.to_owned(), token.to_owned());
        let description: Json = serde_json::from_str(include_str!("github.json")).unwrap();
        Self::start(move |request, seen| {
            if let Err(why) = permitted(&description, &repository, &token, request) {
                return (422, json!({"message": why}));
            }
            if request.method == "GET" {
                return (200, Json::Array(seen.issues.iter().rev().cloned().collect()));
            }
            let mut issue: Json = serde_json::from_str(&request.body).unwrap();
            let number = seen.issues.len() + 1;
            issue["number"] = json!(number);
            issue["html_url"] = json!(format!("https://github.example/{repository}/issues/{number}"));
            seen.issues.push(issue.clone());
            (201, issue)
        })
    }

    /// Slack, for one webhook's path.
    pub fn slack(path: &str) -> Self {
        let path = path.to_owned();
        let description: Json = serde_json::from_str(include_str!("slack.json")).unwrap();
        Self::start(move |request, seen| {
            let body: Json = serde_json::from_str(&request.body).unwrap_or_default();
            let wrong = match () {
                () if request.method != "POST" || request.path != path => Some("no_service".to_owned()),
                () if !request.headers.get("content-type").is_some_and(|kind| kind.starts_with("application/json")) => {
                    Some("invalid_payload".to_owned())
                }
                () => conforms(&body, &description["body"]).err(),
            };
            if let Some(why) = wrong {
                return (400, json!(why));
            }
            seen.messages.push(body);
            (200, json!("ok"))
        })
    }

    fn start(answer: impl Fn(&Request, &mut Seen) -> (u16, Json) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else { continue };
                let mut seen = kept.lock().unwrap();
                let (status, body) = if seen.away { (503, json!({"message": "away"})) } else { answer(&request, &mut seen) };
                if status >= 400 && !seen.away {
                    seen.refused.push(format!("{} {}: {body}", request.method, request.path));
                }
                let text = body.to_string();
                let head = format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", text.len());
                let _ = write!(stream, "{head}Connection: close\r\n\r\n{text}");
            }
        });
        Self { url, seen }
    }

    /// From now on (or no longer) it cannot do anything.
    pub fn away(&self, away: bool) {
        self.seen.lock().unwrap().away = away;
    }

    /// The issues that were opened.
    pub fn issues(&self) -> Vec<Json> {
        self.seen.lock().unwrap().issues.clone()
    }

    /// The messages that were sent.
    pub fn messages(&self) -> Vec<Json> {
        self.seen.lock().unwrap().messages.clone()
    }

    /// What the real one would not have taken.
    pub fn refused(&self) -> Vec<String> {
        self.seen.lock().unwrap().refused.clone()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Request { method, path: path.to_owned(), query, headers, body: String::from_utf8(body).ok()? })
}

/// Whether GitHub would do what is asked.
fn permitted(description: &Json, repository: &str, token: &str, request: &Request) -> Result<(), String> {
    let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
    for (name, wanted) in [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")] {
        if header(name) != wanted {
            return Err(format!("header {name}: {}", header(name)));
        }
    }
    if header("authorization") != format!("Bearer {token}") || header("user-agent").is_empty() {
        return Err("Bad credentials, or no user agent".to_owned());
    }
    let operations = description["operations"].as_object().unwrap();
    let fits = |operation: &&Json| {
        let (owner, name) = repository.split_once('/').unwrap();
        let path = operation["path"].as_str().unwrap().replace("{owner}", owner).replace("{repo}", name);
        operation["method"] == request.method.as_str() && path == request.path
    };
    let operation = operations.values().find(fits).ok_or_else(|| format!("no operation {} {}", request.method, request.path))?;
    for (name, value) in &request.query {
        let schema = operation["query"].get(name).ok_or_else(|| format!("no query parameter {name}"))?;
        let value = if schema["type"] == "integer" { value.parse::<i64>().map_or(Json::Null, Json::from) } else { json!(value) };
        conforms(&value, schema).map_err(|why| format!("{name}: {why}"))?;
    }
    match operation.get("body") {
        None => Ok(()),
        Some(schema) => {
            let body = serde_json::from_str(&request.body).map_err(|error| error.to_string())?;
            // GitHub ignores what it does not know; a field that it does not know is a mistake of ours.
            let known = schema["properties"].as_object().unwrap();
            let stranger = body_keys(&body).find(|key| !known.contains_key(*key)).map(str::to_owned);
            stranger.map_or(Ok(()), |key| Err(format!("no field {key}")))?;
            conforms(&body, schema)
        }
    }
}

fn body_keys(body: &Json) -> impl Iterator<Item = &str> {
    body.as_object().into_iter().flat_map(|object| object.keys().map(String::as_str))
}

/// Whether `value` is what `schema` says: the part of JSON Schema that the two descriptions use.
fn conforms(value: &Json, schema: &Json) -> Result<(), String> {
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| conforms(value, choice).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { Err(format!("{value} fits {fitting} of the choices")) };
    }
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_i64() => "integer",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    if schema["type"].as_str().is_some_and(|wanted| wanted != kind) {
        return Err(format!("expected {}, found {value}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return Err(format!("{value} is none of {}", schema["enum"]));
    }
    let size = value.as_str().map_or(0, |text| text.chars().count()).max(value.as_array().map_or(0, Vec::len)) as u64;
    if ["maxLength", "maxItems"].iter().any(|limit| schema[limit].as_u64().is_some_and(|most| size > most))
        || schema["minLength"].as_u64().is_some_and(|least| size < least)
    {
        return Err(format!("a size of {size} is not allowed"));
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(item, &schema["items"])?;
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    if let Some(missing) = schema["required"].as_array().into_iter().flatten().find(|name| !object.contains_key(name.as_str().unwrap())) {
        return Err(format!("{missing} is missing"));
    }
    for (name, value) in object {
        match schema["properties"].get(name) {
            Some(schema) => conforms(value, schema).map_err(|why| format!("{name}: {why}"))?,
            None if schema["additionalProperties"] == false => return Err(format!("no field {name}")),
            None => {}
        }
    }
    Ok(())
}

#[test]
fn the_stand_ins_refuse_what_the_real_ones_would() {
    let github: Json = serde_json::from_str(include_str!("github.json")).unwrap();
    let issue = &github["operations"]["issues/create"]["body"];
    for (body, fine) in [
        (json!({"title": "t", "labels": ["a"], "assignees": ["b"]}), true),
        (json!({"body": "no title"}), false),
        (json!({"title": ["t"]}), false),
        (json!({"title": "t", "labels": "a"}), false),
    ] {
        assert_eq!(conforms(&body, issue).is_ok(), fine, "{body}");
    }
    let slack: Json = serde_json::from_str(include_str!("slack.json")).unwrap();
    let long = "x".repeat(3001);
    for (body, fine) in [
        (json!({"text": "t", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "t"}}]}), true),
        (json!({"text": "t", "blocks": [{"type": "section", "text": {"type": "markdown", "text": "t"}}]}), false),
        (json!({"text": "t", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": long}}]}), false),
        (json!({"blocks": []}), false),
    ] {
        assert_eq!(conforms(&body, &slack["body"]).is_ok(), fine, "{body}");
    }
}
