//! Arguments of the `ssh` program, as inventories hold them (`ansible_ssh_common_args`), as values of `ssh_config(5)`.

use std::path::PathBuf;

use super::ConnectError;
use super::config::{Values, split_keyword, words};

/// Flags with a value that are an option in other clothes.
const VALUED: [(char, &str); 8] = [
    ('p', "port"),
    ('l', "user"),
    ('i', "identityfile"),
    ('J', "proxyjump"),
    ('b', "bindaddress"),
    ('c', "ciphers"),
    ('m', "macs"),
    ('S', "controlpath"),
];

/// Flags that mean nothing here: no terminal, nothing forwarded, other words for the log; and compression, which costs more
/// than it saves on anything but the agent, and that is sent compressed anyway.
const IGNORED: &str = "AaCKkqTtvXxYy";

/// What stands on a command line beside options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// `-F`
    pub(super) config: Option<PathBuf>,
}

impl Arguments {
    /// Adds the options of `text` to `values`.
    ///
    /// # Errors
    /// A flag that cannot be honoured, by name.
    pub(super) fn read(&mut self, text: &str, values: &mut Values) -> Result<(), ConnectError> {
        let bad = |reason: String| ConnectError::Config(format!("{reason} in the SSH arguments `{text}`"));
        let list = words(text, false).ok_or_else(|| bad("a quote is not closed".to_owned()))?;
        let mut list = list.into_iter();
        while let Some(word) = list.next() {
            let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
                return Err(bad(format!("expected a flag, found `{word}`")));
            };
            let mut letters = flags.chars();
            while let Some(letter) = letters.next() {
                if IGNORED.contains(letter) {
                    continue;
                }
                let mut value = || {
                    let attached: String = letters.by_ref().collect();
                    let value = if attached.is_empty() { list.next() } else { Some(attached) };
                    value.ok_or_else(|| bad(format!("`-{letter}` needs a value")))
                };
                match letter {
                    'o' => add_option(&value()?, values).map_err(bad)?,
                    'F' => self.config = Some(PathBuf::from(value()?)),
                    '4' => values.add("addressfamily", &["inet".to_owned()]),
                    '6' => values.add("addressfamily", &["inet6".to_owned()]),
                    _ => match VALUED.iter().find(|(flag, _)| *flag == letter) {
                        Some((_, keyword)) => values.add(keyword, &[value()?]),
                        None => return Err(bad(format!("`-{letter}` is not supported"))),
                    },
                }
            }
        }
        Ok(())
    }
}

fn add_option(option: &str, values: &mut Values) -> Result<(), String> {
    let (keyword, rest) = split_keyword(option).ok_or_else(|| format!("expected `Keyword=value` after `-o`, found `{option}`"))?;
    let keyword = keyword.to_ascii_lowercase();
    let list = if keyword == "proxycommand" { vec![rest.to_owned()] } else { words(rest, true).unwrap_or_default() };
    if list.is_empty() {
        return Err(format!("`-o {option}` has no value"));
    }
    values.add(&keyword, &list);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Arguments, Values), String> {
        let (mut arguments, mut values) = (Arguments::default(), Values::default());
        arguments.read(text, &mut values).map_err(|error| error.to_string())?;
        Ok((arguments, values))
    }

    #[test]
    fn options_and_flags() {
        let (arguments, values) = read(
            "-C -o ControlMaster=auto -oStrictHostKeyChecking=no -J a,b:2222 -p2200 \
             -l ann -i ~/.ssh/one -i two -F /dev/null -vvv -o \"UserKnownHostsFile /dev/null\" -o Port=1",
        )
        .unwrap();
        assert_eq!(arguments.config, Some(PathBuf::from("/dev/null")));
        for (keyword, wanted) in [
            ("controlmaster", "auto"),
            ("stricthostkeychecking", "no"),
            ("proxyjump", "a,b:2222"),
            ("port", "2200"),
            ("user", "ann"),
            ("userknownhostsfile", "/dev/null"),
        ] {
            assert_eq!(values.get(keyword), Some(wanted), "{keyword}");
        }
        assert_eq!(values.all("identityfile"), ["~/.ssh/one", "two"]);
        let (_, values) = read("-o 'ProxyCommand=ssh -W \"%h:%p\" gate' -J late").unwrap();
        assert_eq!((values.get("proxycommand"), values.get("proxyjump")), (Some("ssh -W \"%h:%p\" gate"), None));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (text, wanted) in [
            ("-L 80:localhost:80", "`-L` is not supported"),
            ("-vN", "`-N` is not supported"),
            ("host", "expected a flag, found `host`"),
            ("-o Port", "expected `Keyword=value`"),
            ("-o", "`-o` needs a value"),
            ("-o 'Port=1", "a quote is not closed"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
