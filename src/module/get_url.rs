//! Fetches a file from the web.
//!
//! ```yaml
//! - get_url: {url: "https://example.com/app.tar.gz", dest: /opt/app.tar.gz, checksum: "sha256:…", mode: "0644"}
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::prelude::*;
use super::Field as _;
use crate::machine::http::{Answer, Exchange, basic};
use crate::machine::{Algorithm, Content};

params! {
    pub struct GetUrl {
        /// Where from.
        url: String,
        /// The file, or the directory that takes it.
        dest: PathText,
        /// `ALGORITHM:DIGEST`, or `ALGORITHM:URL` of a list of digests.
        checksum: Option<String>,
        /// Fetch it although it is there.
        force | thirsty: bool = false,
        /// Keep what was there as `dest.PID.date~`.
        backup: bool = false,
        /// Headers.
        headers: Option<Map>,
        /// Seconds for everything together.
        timeout: i64 = 10,
        /// Check certificates.
        validate_certs: bool = true,
        /// Certificates to trust instead of the system's.
        ca_path: Option<PathText>,
        /// User for basic authentication.
        url_username | username: Option<String>,
        /// Password for basic authentication.
        url_password | password: Option<String>,
        /// Send user and password at once instead of when asked.
        force_basic_auth: bool = false,
        /// What we call ourselves.
        http_agent: String = "ansible-httpget",
        /// Use the proxies of the environment.
        use_proxy: bool = true,
        /// Taken for playbooks that set it; files are made beside `dest`.
        tmp_dest: Option<PathText>,
    }
    group = file: FileAttributes;
}

impl Module for GetUrl {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let dest = self.dest(machine);
        let expected = self.checksum.as_deref().map(|text| self.expected(text, &dest)).transpose()?;
        let there = machine.stat(&dest, true)?.is_some();
        if there && !self.force {
            let right = match &expected {
                None => true,
                Some((algorithm, digest)) => machine.checksum(&dest, *algorithm)?.eq_ignore_ascii_case(digest),
            };
            if right {
                return self.keep(machine, &dest);
            }
        }
        let begun = Instant::now();
        if machine.checking() {
            machine.mark_changed();
            return Ok(machine.outcome().with("dest", dest.display().to_string()).with("url", self.url));
        }
        let answer = self.fetch(&self.url, begun)?;
        let content: Content = answer.body.clone().into();
        if let Some((algorithm, digest)) = &expected {
            let found = content.checksum(*algorithm).map_err(|error| Failure::new(error.to_string()))?;
            if !found.eq_ignore_ascii_case(digest) {
                let msg = format!("The checksum for {} did not match {digest}; it was {found}.", dest.display());
                return Err(Failure::new(msg).with("url", self.url.as_str()).with("dest", dest.display().to_string()));
            }
        }
        self.place(machine, &dest, &answer, &content, begun)
    }
}

impl GetUrl {
    fn dest(&self, machine: &Machine) -> PathBuf {
        let dest = machine.path(&self.dest.0);
        if !machine.is_dir(&dest) {
            return dest;
        }
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        dest.join(path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("index.html"))
    }

    /// Nothing is fetched; attributes may still differ.
    fn keep(&self, machine: &mut Machine, dest: &std::path::Path) -> Result<Outcome, Failure> {
        machine.attributes(dest, &self.file.wanted())?;
        let described = machine.describe(dest);
        let mut outcome = machine.outcome();
        outcome.data = described;
        let msg = if outcome.changed { "" } else { "file already exists" };
        Ok(outcome.with("dest", dest.display().to_string()).with("url", self.url.as_str()).with("msg", msg))
    }

    fn fetch(&self, url: &str, begun: Instant) -> Result<Answer, Failure> {
        let mut headers = vec![("User-Agent".to_owned(), self.http_agent.clone())];
        if let Some(user) = &self.url_username {
            headers.push(("Authorization".to_owned(), basic(user, self.url_password.as_deref().unwrap_or_default())));
        }
        headers.extend(self.headers.iter().flatten().map(|(name, value)| (name.clone(), value.to_text())));
        let exchange = Exchange {
            headers,
            timeout: Duration::from_secs(self.timeout.max(1).unsigned_abs()),
            validate: self.validate_certs,
            ca_path: self.ca_path.as_ref().map(|path| PathBuf::from(&path.0)),
            proxy: self.use_proxy,
            ..Exchange::get(url)
        };
        let failed = |msg: String, status: i64| {
            let elapsed = begun.elapsed().as_secs();
            Failure::new(msg).with("status_code", status).with("url", url).with("dest", self.dest.0.as_str()).with("elapsed", elapsed)
        };
        let answer = exchange.send().map_err(|error| failed(format!("Request failed: {error}"), -1))?;
        if answer.status >= 400 {
            return Err(failed("Request failed".to_owned(), answer.status.into()).with("response", format!("HTTP Error {}: {}", answer.status, answer.reason)));
        }
        Ok(answer)
    }

    /// The algorithm and digest to expect.
    fn expected(&self, text: &str, dest: &std::path::Path) -> Result<(Algorithm, String), Failure> {
        let wrong = || Failure::new(format!("The checksum parameter has to be in format <algorithm>:<checksum>, found `{text}`"));
        let (name, digest) = text.split_once(':').ok_or_else(wrong)?;
        let algorithm = Algorithm::decode(&Value::from(name.to_lowercase())).map_err(|message| Failure::new(format!("`checksum`: {message}")))?;
        if !digest.contains("://") {
            return Ok((algorithm, digest.trim().to_owned()));
        }
        let listed = self.fetch(digest, Instant::now())?;
        let wanted = self.url.rsplit('/').next().unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed.body).into_owned();
        let mut lines = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let named = lines.clone().find(|words| words.get(1).is_some_and(|name| name.trim_start_matches(['*', '.', '/']) == wanted));
        let alone = lines.next().filter(|words| words.len() == 1);
        let found = named.or(alone).and_then(|words| words.first().map(|digest| (*digest).to_owned()));
        found.map(|digest| (algorithm, digest)).ok_or_else(|| Failure::new(format!("Unable to find a checksum for file '{wanted}' in '{digest}' (for {})", dest.display())))
    }

    fn place(&self, machine: &mut Machine, dest: &std::path::Path, answer: &Answer, content: &Content, begun: Instant) -> Result<Outcome, Failure> {
        let options = self.file.options(self.backup, None);
        machine.write_with(dest, content, &options)?;
        let described = machine.describe(dest);
        let mut outcome = machine.outcome();
        outcome.data = described;
        let digest = content.checksum(Algorithm::Sha1).map_err(|error| Failure::new(error.to_string()))?;
        Ok(outcome
            .with("dest", dest.display().to_string())
            .with("url", answer.url.as_str())
            .with("status_code", i64::from(answer.status))
            .with("msg", format!("{} ({} bytes)", answer.reason, answer.body.len()))
            .with("checksum_dest", digest.as_str())
            .with("checksum_src", digest)
            .with("elapsed", begun.elapsed().as_secs()))
    }
}
