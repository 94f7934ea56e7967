//! Findings of a check as text, JSON, SARIF 2.1.0 (for code scanning) and annotations of GitHub Actions.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::snippet;
use crate::event::{Excerpt, Finding};
use crate::text::Severity;

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Pictures for people, in colours or not.
    Text {
        /// With escape sequences.
        colored: bool,
    },
    /// One JSON document.
    Json,
    /// One SARIF log.
    Sarif,
    /// Workflow commands.
    Github,
}

/// Writes `findings`. `rules` tells what a code means.
///
/// # Errors
/// `out` takes no more.
pub fn write(findings: &[Finding], form: Form, rules: &dyn Fn(&str) -> Option<&'static str>, out: &mut dyn Write) -> io::Result<()> {
    match form {
        Form::Text { colored } => text(findings, colored, out),
        Form::Json => document(&json!({"version": 1, "findings": findings.iter().map(plain).collect::<Vec<_>>()}), out),
        Form::Sarif => document(&sarif(findings, rules), out),
        Form::Github => findings.iter().try_for_each(|finding| writeln!(out, "{}", annotation(finding))),
    }
}

fn document(value: &Json, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

fn text(findings: &[Finding], colored: bool, out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        writeln!(out, "{}\n", snippet::draw(finding, colored))?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.diagnostic.severity == severity).count();
    let counted = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings == 0 {
        return writeln!(out, "no findings");
    }
    let codes = findings.first().map(|finding| finding.diagnostic.code.as_str()).unwrap_or_default();
    writeln!(out, "{}, {}; `rappel explain {codes}` tells more", counted(errors, "error"), counted(warnings, "warning"))
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The end of a label: line and column after its last letter.
fn end(excerpt: &Excerpt) -> (u32, u32) {
    let marked = excerpt.text.get(excerpt.start..excerpt.end).unwrap_or_default();
    let lines = u32::try_from(marked.matches('\n').count()).unwrap_or(0);
    let tail = marked.rsplit('\n').next().unwrap_or_default();
    let letters = u32::try_from(tail.chars().count()).unwrap_or(0);
    let position = &excerpt.position;
    (position.line + lines, if lines == 0 { position.column + letters } else { letters + 1 })
}

/// A finding as a JSON object.
pub fn plain(finding: &Finding) -> Json {
    let diagnostic = &finding.diagnostic;
    let labels = finding.excerpts.iter().zip(&diagnostic.labels).map(|(excerpt, (_, text))| {
        let (line, column) = end(excerpt);
        let position = &excerpt.position;
        json!({"file": position.name, "line": position.line, "column": position.column, "end_line": line, "end_column": column, "text": text})
    });
    json!({
        "severity": word(diagnostic.severity), "code": diagnostic.code, "message": diagnostic.message,
        "labels": labels.collect::<Vec<_>>(), "help": diagnostic.help,
    })
}

fn sarif(findings: &[Finding], rules: &dyn Fn(&str) -> Option<&'static str>) -> Json {
    let mut codes: Vec<&str> = findings.iter().map(|finding| finding.diagnostic.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let described = codes.iter().map(|code| {
        let text = rules(code).unwrap_or(code);
        json!({"id": code, "shortDescription": {"text": code}, "fullDescription": {"text": text}})
    });
    let results = findings.iter().map(|finding| {
        let diagnostic = &finding.diagnostic;
        let message = match &diagnostic.help {
            Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
            None => diagnostic.message.clone(),
        };
        let mut places = finding.excerpts.iter().map(place);
        let mut result = json!({
            "ruleId": diagnostic.code, "level": word(diagnostic.severity), "message": {"text": message},
            "locations": places.next().into_iter().collect::<Vec<_>>(),
        });
        let related: Vec<Json> = places.collect();
        if let (Some(result), false) = (result.as_object_mut(), related.is_empty()) {
            result.insert("relatedLocations".to_owned(), related.into());
        }
        result
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "rappel", "version": env!("CARGO_PKG_VERSION"), "rules": described.collect::<Vec<_>>()}},
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn place(excerpt: &Excerpt) -> Json {
    let (line, column) = end(excerpt);
    let position = &excerpt.position;
    let region = json!({"startLine": position.line, "startColumn": position.column, "endLine": line, "endColumn": column});
    json!({"physicalLocation": {"artifactLocation": {"uri": position.name}, "region": region}})
}

fn annotation(finding: &Finding) -> String {
    let diagnostic = &finding.diagnostic;
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut message = diagnostic.message.clone();
    if let Some(help) = &diagnostic.help {
        message.push_str("\nhelp: ");
        message.push_str(help);
    }
    let place = finding.excerpts.first().map(|excerpt| {
        let position = &excerpt.position;
        format!("file={},line={},col={},", property(&position.name), position.line, position.column)
    });
    let title = property(&diagnostic.code);
    format!("::{} {}title={title}::{}", word(diagnostic.severity), place.unwrap_or_default(), data(&message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Diagnostic, Sources, Span};

    fn written(form: Form) -> String {
        let sources = Sources::default();
        let id = sources.add("site.yml", "- hosts: all\n  tasks:\n    - copi: x\n");
        let diagnostic = Diagnostic::error("unknown-module", "module `copi` is not supported").at(Span::new(id, 30, 34), "");
        let findings = [Finding::new(diagnostic.help("did you mean `copy`?"), &sources)];
        let mut out = Vec::new();
        write(&findings, form, &|_| Some("There is no module of this name."), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_form_has_the_place_the_code_and_the_help() {
        let text = written(Form::Text { colored: false });
        assert!(text.contains("site.yml:3:") && text.contains("1 error, 0 warnings; `rappel explain unknown-module`"), "{text}");
        let json: Json = serde_json::from_str(&written(Form::Json)).unwrap();
        assert_eq!(json["findings"][0]["labels"][0]["line"], 3);
        let sarif: Json = serde_json::from_str(&written(Form::Sarif)).unwrap();
        let result = &sarif["runs"][0]["results"][0];
        assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 3);
        assert_eq!((result["level"].as_str(), result["ruleId"].as_str()), (Some("error"), Some("unknown-module")));
        let github = written(Form::Github);
        assert!(github.starts_with("::error file=site.yml,line=3,col="), "{github}");
        assert!(github.contains("title=unknown-module::module `copi` is not supported%0Ahelp: did you mean `copy`?"), "{github}");
    }
}
