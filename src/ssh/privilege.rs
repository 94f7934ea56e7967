//! `become`: the command that makes us another user, and the talk about the password.
//!
//! The password goes to the program's standard input, only after the program has asked for it, and never into a command line.

use super::{Method, Privilege, PrivilegeError};

/// Printed by the command once it runs as the other user; what is sent before that would be taken for a password.
pub(super) const BECAME: &str = "RAPPEL1 BECAME";

/// The command line (for `sh -c`, or for a login shell) that runs `script` as the user of `privilege`.
pub(super) fn command(privilege: &Privilege, script: &str, token: &str) -> String {
    let script = quote(&format!("echo {BECAME}; {script}"));
    let exe = privilege.exe.clone().unwrap_or_else(|| privilege.method.name().to_owned());
    let user = quote(&privilege.user);
    match privilege.method {
        Method::Sudo => {
            let flags = sudo_flags(privilege);
            format!("{exe} {flags} -p {} -u {user} sh -c {script}", quote(&prompt(token)))
        }
        Method::Su => {
            let flags = privilege.flags.as_deref().unwrap_or_default();
            format!("{exe} {flags} {user} -c {}", quote(&format!("sh -c {script}")))
        }
        Method::Doas => {
            let quiet = if privilege.password.is_none() && privilege.flags.is_none() { "-n" } else { "" };
            let flags = privilege.flags.as_deref().unwrap_or_default();
            format!("{exe} {flags} {quiet} -u {user} sh -c {script}")
        }
    }
}

/// Ansible's flags: `-H -S -n`, and `-n` goes when there is a password.
fn sudo_flags(privilege: &Privilege) -> String {
    let flags = privilege.flags.as_deref().unwrap_or("-H -S -n");
    if privilege.password.is_none() {
        return flags.to_owned();
    }
    let mut kept: Vec<&str> = flags.split_whitespace().filter(|flag| !matches!(*flag, "-n" | "--non-interactive")).collect();
    if !kept.iter().any(|flag| matches!(*flag, "-S" | "--stdin")) {
        kept.push("-S"); // a password can only come from our side of the channel
    }
    kept.join(" ")
}

/// The question that sudo shall ask: not to be confused with anything else.
fn prompt(token: &str) -> String {
    format!("[rappel {token}] password:")
}

/// Whether the program can read a password only from a terminal.
pub(super) fn needs_terminal(privilege: &Privilege) -> bool {
    privilege.method == Method::Doas && privilege.password.is_some()
}

/// `text` as one word of a POSIX shell (and of fish and csh).
pub(super) fn quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What to do after the program has said something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Wait for more.
    Wait,
    /// Send the password.
    Answer,
    /// Give up.
    Fail(PrivilegeError),
}

/// Follows what the program says before it lets us through.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    privilege: &'a Privilege,
    prompt: String,
    asked: usize,
}

impl<'a> Talk<'a> {
    pub(super) fn new(privilege: &'a Privilege, token: &str) -> Self {
        Self { privilege, prompt: prompt(token), asked: 0 }
    }

    /// `text` is all that the program has said so far.
    pub(super) fn hear(&mut self, text: &str) -> Turn {
        let asked = self.questions(text);
        if asked <= self.asked {
            return Turn::Wait;
        }
        self.asked += 1;
        let name = self.privilege.method.name();
        match (&self.privilege.password, self.asked) {
            (None, _) => Turn::Fail(PrivilegeError::PasswordRequired(name)),
            (Some(_), 1) => Turn::Answer,
            (Some(_), _) => Turn::Fail(PrivilegeError::WrongPassword(name)),
        }
    }

    fn questions(&self, text: &str) -> usize {
        match self.privilege.method {
            Method::Sudo => text.matches(&self.prompt).count(),
            Method::Su => ask_count(text, is_localized_prompt),
            Method::Doas => ask_count(text, |line| line.starts_with("doas (") || is_localized_prompt(line)),
        }
    }

    /// Why the program ended without letting us through; `status` is its exit status, `text` all that it said.
    pub(super) fn explain(&self, status: Option<i32>, text: &str) -> PrivilegeError {
        let name = self.privilege.method.name();
        let exe = self.privilege.exe.as_deref().unwrap_or(name);
        let said = self.without_prompts(text);
        let lower = said.to_lowercase();
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
        if status == Some(127) || (status == Some(126) && lower.contains("permission denied")) {
            return PrivilegeError::NotInstalled(exe.to_owned());
        }
        if has(&["a password is required", "authentication required", "a terminal is required", "a password is required"]) {
            return PrivilegeError::PasswordRequired(name);
        }
        if has(&["incorrect password", "sorry, try again", "authentication failure", "authentication failed", "incorrect su password"]) {
            let given = self.privilege.password.is_some();
            return if given { PrivilegeError::WrongPassword(name) } else { PrivilegeError::PasswordRequired(name) };
        }
        if has(&["must have a tty", "need a tty", "tty is required", "must be run from a terminal"]) {
            return PrivilegeError::NeedsTerminal;
        }
        if has(&["unknown user", "does not exist", "no passwd entry", "unknown id"]) {
            return PrivilegeError::NoSuchUser;
        }
        if has(&["not in the sudoers", "is not allowed", "may not run", "operation not permitted", "not permitted"]) {
            return PrivilegeError::NotAllowed(said);
        }
        let status = status.map_or_else(|| "it ended".to_owned(), |status| format!("exit status {status}"));
        PrivilegeError::Other(if said.is_empty() { status } else { format!("{status}: {said}") })
    }

    fn without_prompts(&self, text: &str) -> String {
        let text = text.replace(&self.prompt, "");
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_localized_prompt(line)).collect();
        lines.join("; ")
    }
}

fn ask_count(text: &str, is_prompt: impl Fn(&str) -> bool) -> usize {
    text.split(['\n', '\r']).filter(|line| is_prompt(line.trim())).count()
}

/// `Password:` in the languages of PAM: a short line that ends in a colon and has no other.
fn is_localized_prompt(line: &str) -> bool {
    let line = line.trim_end();
    let line = line.strip_suffix(':').or_else(|| line.strip_suffix('：'));
    line.is_some_and(|word| !word.is_empty() && word.chars().count() <= 60 && !word.contains([':', '：', ';']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privilege(method: Method, password: Option<&str>, flags: Option<&str>) -> Privilege {
        Privilege { password: password.map(super::super::Secret::new), flags: flags.map(str::to_owned), ..Privilege::new(method, "root") }
    }

    #[test]
    fn commands() {
        let script = "cat \"$x\"";
        for (method, password, flags, wanted) in [
            (Method::Sudo, None, None, "sudo -H -S -n -p '[rappel t] password:' -u root sh -c 'echo RAPPEL1 BECAME; cat \"$x\"'"),
            (Method::Sudo, Some("pw"), None, "sudo -H -S -p '[rappel t] password:' -u root sh -c 'echo RAPPEL1 BECAME; cat \"$x\"'"),
            (
                Method::Sudo,
                Some("pw"),
                Some("-i -n"),
                "sudo -i -S -p '[rappel t] password:' -u root sh -c 'echo RAPPEL1 BECAME; cat \"$x\"'",
            ),
            (Method::Su, Some("pw"), Some("-m"), r#"su -m root -c 'sh -c '\''echo RAPPEL1 BECAME; cat "$x"'\'''"#),
            (Method::Doas, None, None, "doas  -n -u root sh -c 'echo RAPPEL1 BECAME; cat \"$x\"'"),
        ] {
            let command = command(&privilege(method, password, flags), script, "t");
            assert_eq!(command, wanted);
            assert!(!command.contains("pw"));
        }
    }

    #[test]
    fn a_password_is_sent_once_and_only_when_asked_for() {
        let with = privilege(Method::Sudo, Some("pw"), None);
        let mut talk = Talk::new(&with, "t");
        assert_eq!(talk.hear("We trust you have received the usual lecture. password:"), Turn::Wait);
        assert_eq!(talk.hear("lecture [rappel t] password:"), Turn::Answer);
        assert_eq!(talk.hear("lecture [rappel t] password:"), Turn::Wait);
        let again = "lecture [rappel t] password:\nSorry, try again.\n[rappel t] password:";
        assert_eq!(talk.hear(again), Turn::Fail(PrivilegeError::WrongPassword("sudo")));
        let without = privilege(Method::Su, None, None);
        assert_eq!(Talk::new(&without, "t").hear("Password: "), Turn::Fail(PrivilegeError::PasswordRequired("su")));
        let german = privilege(Method::Su, Some("pw"), None);
        assert_eq!(Talk::new(&german, "t").hear("Passwort: "), Turn::Answer);
    }

    #[test]
    fn failures_are_told_apart() {
        for (method, password, status, said, wanted) in [
            (Method::Sudo, None, 1, "sudo: a password is required\n", PrivilegeError::PasswordRequired("sudo")),
            (Method::Sudo, Some("x"), 1, "\nsudo: 1 incorrect password attempt\n", PrivilegeError::WrongPassword("sudo")),
            (
                Method::Sudo,
                Some("x"),
                1,
                "[rappel t] password:ann is not in the sudoers file.\n",
                PrivilegeError::NotAllowed("ann is not in the sudoers file.".into()),
            ),
            (
                Method::Sudo,
                None,
                1,
                "Sorry, user ann is not allowed to execute '/bin/sh' as root on web1.\n",
                PrivilegeError::NotAllowed("Sorry, user ann is not allowed to execute '/bin/sh' as root on web1.".into()),
            ),
            (Method::Sudo, None, 1, "sudo: sorry, you must have a tty to run sudo", PrivilegeError::NeedsTerminal),
            (Method::Sudo, None, 1, "sudo: unknown user bob\nsudo: error initializing audit plugin", PrivilegeError::NoSuchUser),
            (Method::Sudo, None, 127, "bash: line 1: sudo: command not found", PrivilegeError::NotInstalled("sudo".into())),
            (Method::Su, Some("x"), 1, "Password: su: Authentication failure", PrivilegeError::WrongPassword("su")),
            (Method::Su, None, 1, "su: user bob does not exist or the user entry lacks fields", PrivilegeError::NoSuchUser),
            (Method::Doas, None, 1, "doas: Authentication required", PrivilegeError::PasswordRequired("doas")),
            (Method::Doas, None, 1, "doas: Operation not permitted", PrivilegeError::NotAllowed("doas: Operation not permitted".into())),
            (Method::Doas, None, 3, "boom", PrivilegeError::Other("exit status 3: boom".into())),
        ] {
            let privilege = privilege(method, password, None);
            assert_eq!(Talk::new(&privilege, "t").explain(Some(status), said), wanted, "{said}");
        }
    }
}
