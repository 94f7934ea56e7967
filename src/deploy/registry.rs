//! Whether a registry has an image: the manifest's `HEAD` of the registry HTTP API v2, with what `docker login` has kept, or an
//! anonymous token, where a login is asked for.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use ureq::http::Method;

use super::http::{Answer, Ask, NoAnswer, encode};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

const HUB: &str = "registry-1.docker.io";

const WANTS_LOGIN: &str = "it wants a login that `docker login` has not left here";

/// Whether the image is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Yes, with the digest that the registry names.
    Yes(String),
    /// No.
    No,
    /// Nobody can say, and why.
    Unknown(String),
}

/// An image's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reference {
    registry: String,
    path: String,
    version: String,
}

impl Reference {
    /// `[REGISTRY/]PATH[:TAG|@DIGEST]`, with Docker's defaults.
    fn parse(image: &str) -> Self {
        let (registry, rest) = match image.split_once('/') {
            // Only what looks like a host is one: `library/nginx` is a path.
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first.to_owned(), rest.to_owned()),
            Some(_) => (HUB.to_owned(), image.to_owned()),
            None => (HUB.to_owned(), format!("library/{image}")),
        };
        let (path, version) = match (rest.split_once('@'), rest.rsplit_once(':')) {
            (Some((path, digest)), _) => (path.rsplit_once(':').map_or(path, |(path, _)| path), digest),
            (None, Some((path, tag))) => (path, tag),
            (None, None) => (rest.as_str(), "latest"),
        };
        Self { registry, path: path.to_owned(), version: version.to_owned() }
    }
}

/// What `docker login` has kept, by registry: `USER:PASSWORD` in base64. Never shown.
#[derive(Clone, Default)]
pub struct Logins(HashMap<String, String>);

impl Logins {
    /// Reads `config.json` in `$DOCKER_CONFIG` or `~/.docker`. What a credential helper keeps is not in there.
    pub fn read(variable: &(dyn Fn(&str) -> Option<String> + Sync)) -> Self {
        let folder = variable("DOCKER_CONFIG").or_else(|| variable("HOME").map(|home| format!("{home}/.docker")));
        let text = folder.and_then(|folder| std::fs::read(Path::new(&folder).join("config.json")).ok()).unwrap_or_default();
        let config: Json = serde_json::from_slice(&text).unwrap_or_default();
        let kept = config.get("auths").and_then(Json::as_object).into_iter().flatten();
        let login = |(name, login): (&String, &Json)| Some((host_of(name).to_owned(), login.get("auth")?.as_str()?.to_owned()));
        Self(kept.filter_map(login).collect())
    }

    fn of(&self, registry: &str) -> Option<String> {
        self.0.get(registry).map(|login| format!("Basic {login}"))
    }
}

/// The registry that a name in Docker's configuration means: `https://index.docker.io/v1/` is Docker Hub.
fn host_of(name: &str) -> &str {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or(rest) {
        "index.docker.io" | "docker.io" => HUB,
        host => host,
    }
}

/// Asks the registry of `image`. Registries in `insecure` speak plain HTTP.
pub async fn look(image: &str, insecure: &[String], logins: &Logins, limit: Duration) -> Found {
    let reference = Reference::parse(image);
    let scheme = if insecure.contains(&reference.registry) { "http" } else { "https" };
    let url = format!("{scheme}://{}/v2/{}/manifests/{}", reference.registry, reference.path, reference.version);
    let login = logins.of(&reference.registry);
    match answer(&url, login, limit).await {
        Ok(answer) => judge(&answer),
        Err(why) => Found::Unknown(why),
    }
}

/// The answer to the question, asked again with a login where one is wanted.
async fn answer(url: &str, login: Option<String>, limit: Duration) -> Result<Answer, String> {
    let refused = match ask(url, None, limit).await {
        Ok(answer) if answer.status == 401 => answer,
        other => return other.map_err(|error| error.to_string()),
    };
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    let authorization = match challenge.strip_prefix("Bearer ") {
        Some(fields) => Some(format!("Bearer {}", token(fields, login, url.starts_with("http://"), limit).await?)),
        None => login,
    };
    match authorization {
        Some(authorization) => ask(url, Some(authorization), limit).await.map_err(|error| error.to_string()),
        None => Ok(refused),
    }
}

async fn ask(url: &str, authorization: Option<String>, limit: Duration) -> Result<Answer, NoAnswer> {
    let mut head = Ask::new(Method::HEAD, url, limit).header("Accept", MANIFESTS);
    if let Some(authorization) = authorization {
        head = head.header("Authorization", authorization);
    }
    head.send().await
}

fn judge(answer: &Answer) -> Found {
    match answer.status {
        200 => Found::Yes(answer.header("docker-content-digest").unwrap_or("found").to_owned()),
        404 => Found::No,
        401 | 403 => Found::Unknown(WANTS_LOGIN.to_owned()),
        _ => Found::Unknown(answer.describe()),
    }
}

/// The token that a `WWW-Authenticate: Bearer realm=…,service=…,scope=…` points to; an anonymous one without a login.
/// A login goes over plain HTTP only where `plain` allows it.
async fn token(fields: &str, login: Option<String>, plain: bool, limit: Duration) -> Result<String, String> {
    let field = |name: &str| {
        let start = fields.find(&format!("{name}=\""))? + name.len() + 2;
        let rest = fields.get(start..)?;
        rest.split('"').next()
    };
    let realm = field("realm").ok_or("it wants a token, but does not say from where")?;
    let query: Vec<_> = ["service", "scope"].iter().filter_map(|key| Some(format!("{key}={}", encode(field(key)?)))).collect();
    let mut get = Ask::new(Method::GET, format!("{realm}?{}", query.join("&")), limit);
    if let Some(login) = login.filter(|_| plain || realm.starts_with("https://")) {
        get = get.header("Authorization", login);
    }
    let answer = get.send().await.map_err(|error| error.to_string())?;
    let body: Json = serde_json::from_str(&answer.body).map_err(|_| WANTS_LOGIN.to_owned())?;
    let token = body.get("token").or_else(|| body.get("access_token")).and_then(Json::as_str);
    token.map(str::to_owned).ok_or_else(|| WANTS_LOGIN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_docker_does() {
        for (image, registry, path, version) in [
            ("nginx", "registry-1.docker.io", "library/nginx", "latest"),
            ("team/app:1", "registry-1.docker.io", "team/app", "1"),
            ("ghcr.io/o/app:1.2", "ghcr.io", "o/app", "1.2"),
            ("localhost/app", "localhost", "app", "latest"),
            ("reg:5000/app", "reg:5000", "app", "latest"),
            ("reg:5000/a/b@sha256:abc", "reg:5000", "a/b", "sha256:abc"),
            ("reg.io/a:1@sha256:abc", "reg.io", "a", "sha256:abc"),
        ] {
            let wanted = Reference { registry: registry.into(), path: path.into(), version: version.into() };
            assert_eq!(Reference::parse(image), wanted, "{image}");
        }
    }
}
