//! Fetches a file from the web.
//!
//! ```yaml
//! - get_url: {url: "https://example.com/app.tar.gz", dest: /opt/app.tar.gz, checksum: "sha256:…", mode: "0644"}
//! ```

use std::path::Path;
use std::time::{Instant, SystemTime};

use super::prelude::*;
use super::Field as _;
use super::web::Access;
use crate::machine::clock::{Moment, Period};
use crate::machine::http::Answer;
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
        /// Seconds for everything together.
        timeout: i64 = 10,
        /// User for basic authentication.
        url_username | username: Option<String>,
        /// Password for basic authentication.
        url_password | password: Option<String>,
        /// Taken for playbooks that set it; files are made beside `dest`.
        tmp_dest: Option<PathText>,
    }
    group = access: Access;
    group = file: FileAttributes;
}

impl Module for GetUrl {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let dest = machine.path(&self.dest.0);
        let folder = machine.is_dir(&dest);
        let expected = self.checksum.as_deref().map(|text| self.expected(text, &dest, machine)).transpose()?;
        let there = machine.stat(&dest, true)?.filter(|_| !folder);
        if let (Some(_), Some((algorithm, digest)), false) = (&there, &expected, self.force)
            && machine.checksum(&dest, *algorithm)?.eq_ignore_ascii_case(digest)
        {
            return self.keep(machine, &dest, "file already exists", None, begun);
        }
        // One whose checksum is wrong is fetched, however old it is there.
        let since = there.filter(|_| !self.force && expected.is_none()).and_then(|stat| stat.meta.modified().ok());
        let answer = self.fetch(machine, &self.url, since, begun)?;
        let dest = if folder { dest.join(name_of(&answer)) } else { dest };
        if answer.status == 304 {
            return self.keep(machine, &dest, "HTTP Error 304: Not Modified", Some(304), begun);
        }
        if machine.checking() {
            machine.mark_changed();
            let msg = format!("{} (unknown bytes)", answer.reason);
            return Ok(machine.outcome().with("dest", dest.display().to_string()).with("url", self.url).with("msg", msg));
        }
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

/// What a file that goes into a directory is called: as the server says, else as the address does.
pub(super) fn name_of(answer: &Answer) -> String {
    let said = answer.header("content-disposition").and_then(|text| text.split(';').find_map(|part| part.trim().strip_prefix("filename=")));
    let path = answer.url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let name = said.map_or(path, |name| name.trim_matches('"'));
    name.rsplit(['/', '\\']).next().filter(|name| !matches!(*name, "" | "." | "..")).unwrap_or("index.html").to_owned()
}

/// A digest without what is written round it.
fn bare(digest: &str) -> String {
    digest.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A moment as HTTP writes it.
pub(super) fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let moment = Moment::at(seconds, 0, Period::default());
    let name = |names: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default();
    let (day, month) = (name(&DAYS, moment.weekday), name(&MONTHS, moment.month - 1));
    format!("{day}, {:02} {month} {} {:02}:{:02}:{:02} GMT", moment.day, moment.year, moment.hour, moment.minute, moment.second)
}

impl GetUrl {
    /// Nothing is fetched; attributes may still differ.
    fn keep(&self, machine: &mut Machine, dest: &Path, msg: &str, status: Option<i64>, begun: Instant) -> Result<Outcome, Failure> {
        machine.attributes(dest, &self.file.wanted())?;
        let described = machine.describe(dest);
        let mut outcome = machine.outcome();
        outcome.data = described;
        if let Some(status) = status {
            outcome = outcome.with("status_code", status);
        }
        outcome = outcome.with("checksum_dest", Value::Null).with("checksum_src", Value::Null).with("elapsed", begun.elapsed().as_secs());
        Ok(outcome.with("dest", dest.display().to_string()).with("url", self.url.as_str()).with("msg", msg))
    }

    fn fetch(&self, machine: &Machine, url: &str, since: Option<SystemTime>, begun: Instant) -> Result<Answer, Failure> {
        if let Some(path) = url.strip_prefix("file://") {
            let body = machine.read(&machine.path(path)).map_err(|failure| self.failed(url, format!("Request failed: {}", failure.msg), begun))?;
            return Ok(Answer { status: 200, reason: "OK".to_owned(), url: url.to_owned(), body, ..Answer::default() });
        }
        let mut own = Vec::new();
        own.extend(since.map(|time| ("If-Modified-Since".to_owned(), http_date(time))));
        if self.force {
            own.push(("Cache-Control".to_owned(), "no-cache".to_owned()));
        }
        let mut exchange = self.access.exchange(machine, url, (self.url_username.as_ref(), self.url_password.as_ref()), own, self.timeout);
        if machine.checking() && url == self.url {
            "HEAD".clone_into(&mut exchange.method);
        }
        let failed = |msg: String, status: i64| self.failed(url, msg, begun).with("status_code", status);
        let answer = exchange.send().map_err(|error| failed(format!("Request failed: {error}"), -1))?;
        if answer.status >= 400 {
            return Err(failed("Request failed".to_owned(), answer.status.into()).with("response", format!("HTTP Error {}: {}", answer.status, answer.reason)));
        }
        Ok(answer)
    }

    fn failed(&self, url: &str, msg: String, begun: Instant) -> Failure {
        Failure::new(msg).with("url", url).with("dest", self.dest.0.as_str()).with("elapsed", begun.elapsed().as_secs())
    }

    /// The algorithm and digest to expect.
    fn expected(&self, text: &str, dest: &Path, machine: &Machine) -> Result<(Algorithm, String), Failure> {
        let wrong = || Failure::new(format!("The checksum parameter has to be in format <algorithm>:<checksum>, found `{text}`"));
        let (name, digest) = text.split_once(':').ok_or_else(wrong)?;
        let algorithm = Algorithm::decode(&Value::from(name.to_ascii_lowercase())).map_err(|message| Failure::new(format!("`checksum`: {message}")))?;
        if !digest.contains("://") {
            return Ok((algorithm, bare(digest)));
        }
        let listed = self.fetch(machine, digest, None, Instant::now())?;
        let wanted = self.url.rsplit('/').next().unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed.body).into_owned();
        let mut lines = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let named = lines.clone().find(|words| words.get(1).is_some_and(|name| name.trim_start_matches(['*', '.', '/']) == wanted));
        let alone = lines.next().filter(|words| words.len() == 1);
        let found = named.or(alone).and_then(|words| words.first().map(|digest| bare(digest)));
        found.map(|digest| (algorithm, digest)).ok_or_else(|| Failure::new(format!("Unable to find a checksum for file '{wanted}' in '{digest}' (for {})", dest.display())))
    }

    fn place(&self, machine: &mut Machine, dest: &Path, answer: &Answer, content: &Content, begun: Instant) -> Result<Outcome, Failure> {
        let options = self.file.options(self.backup, None);
        let before = if machine.stat(dest, true)?.is_some() { machine.checksum(dest, Algorithm::Sha1)?.into() } else { Value::Null };
        machine.write_with(dest, content, &options)?;
        let described = machine.describe(dest);
        let mut outcome = machine.outcome();
        outcome.data = described;
        let sum = |algorithm| content.checksum(algorithm).map_err(|error| Failure::new(error.to_string()));
        let (digest, md5) = (sum(Algorithm::Sha1)?, sum(Algorithm::Md5)?);
        Ok(outcome
            .with("dest", dest.display().to_string())
            .with("url", answer.url.as_str())
            .with("status_code", if answer.url.starts_with("file:") { Value::Null } else { i64::from(answer.status).into() })
            .with("msg", format!("{} ({} bytes)", answer.reason, answer.body.len()))
            .with("checksum_dest", before)
            .with("md5sum", md5)
            .with("checksum_src", digest)
            .with("elapsed", begun.elapsed().as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_http_has_them() {
        assert_eq!(http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn files_are_called_as_the_server_says() {
        let named = |url: &str, header: Option<&str>| {
            let headers = header.map(|text| ("content-disposition".to_owned(), text.to_owned())).into_iter().collect();
            name_of(&Answer { url: url.to_owned(), headers, ..Answer::default() })
        };
        for (url, header, expected) in [
            ("http://a/b/c.txt?x=1", None, "c.txt"),
            ("http://a", None, "index.html"),
            ("http://a/b", Some("attachment; filename=\"d.json\""), "d.json"),
            ("http://a/b", Some("inline; filename=../../e"), "e"),
        ] {
            assert_eq!(named(url, header), expected, "{url}");
        }
    }
}
