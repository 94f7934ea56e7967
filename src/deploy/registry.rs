//! Whether a registry has an image: the manifest's `HEAD` of the registry HTTP API v2, with an anonymous token where one is asked for.

use std::time::Duration;

use serde_json::Value as Json;
use ureq::http::Method;

use super::http::{Answer, Ask, NoAnswer, encode};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

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
            Some(_) => ("registry-1.docker.io".to_owned(), image.to_owned()),
            None => ("registry-1.docker.io".to_owned(), format!("library/{image}")),
        };
        let (path, version) = match (rest.split_once('@'), rest.rsplit_once(':')) {
            (Some((path, digest)), _) => (path.rsplit_once(':').map_or(path, |(path, _)| path), digest),
            (None, Some((path, tag))) => (path, tag),
            (None, None) => (rest.as_str(), "latest"),
        };
        Self { registry, path: path.to_owned(), version: version.to_owned() }
    }
}

/// Asks the registry of `image`. Registries in `insecure` speak plain HTTP.
pub async fn look(image: &str, insecure: &[String], limit: Duration) -> Found {
    let reference = Reference::parse(image);
    let scheme = if insecure.contains(&reference.registry) { "http" } else { "https" };
    let url = format!("{scheme}://{}/v2/{}/manifests/{}", reference.registry, reference.path, reference.version);
    match ask(&url, None, limit).await {
        Ok(answer) if answer.status == 401 => match token(&answer, limit).await {
            Ok(token) => match ask(&url, Some(&token), limit).await {
                Ok(answer) => judge(&answer),
                Err(error) => Found::Unknown(error.to_string()),
            },
            Err(why) => Found::Unknown(why),
        },
        Ok(answer) => judge(&answer),
        Err(error) => Found::Unknown(error.to_string()),
    }
}

async fn ask(url: &str, token: Option<&str>, limit: Duration) -> Result<Answer, NoAnswer> {
    let mut head = Ask::new(Method::HEAD, url, limit).header("Accept", MANIFESTS);
    if let Some(token) = token {
        head = head.header("Authorization", format!("Bearer {token}"));
    }
    head.send().await
}

fn judge(answer: &Answer) -> Found {
    match answer.status {
        200 => Found::Yes(answer.header("docker-content-digest").unwrap_or("found").to_owned()),
        404 => Found::No,
        401 | 403 => Found::Unknown("it wants a login".to_owned()),
        _ => Found::Unknown(answer.describe()),
    }
}

/// The anonymous token that a `WWW-Authenticate: Bearer realm=…,service=…,scope=…` points to.
async fn token(refused: &Answer, limit: Duration) -> Result<String, String> {
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    let Some(fields) = challenge.strip_prefix("Bearer ") else {
        return Err("it wants a login".to_owned());
    };
    let field = |name: &str| {
        let start = fields.find(&format!("{name}=\""))? + name.len() + 2;
        let rest = fields.get(start..)?;
        rest.split('"').next()
    };
    let realm = field("realm").ok_or("it wants a token, but does not say from where")?;
    let query: Vec<_> = ["service", "scope"].iter().filter_map(|key| Some(format!("{key}={}", encode(field(key)?)))).collect();
    let answer = Ask::new(Method::GET, format!("{realm}?{}", query.join("&")), limit).send().await.map_err(|error| error.to_string())?;
    let body: Json = serde_json::from_str(&answer.body).map_err(|_| "it wants a login".to_owned())?;
    let token = body.get("token").or_else(|| body.get("access_token")).and_then(Json::as_str);
    token.map(str::to_owned).ok_or_else(|| "it wants a login".to_owned())
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
