//! Colours as Ansible uses them.

use std::borrow::Cow;

/// What a text means; each has the colour that Ansible gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// `ok`.
    Ok,
    /// `changed`.
    Changed,
    /// `skipping`, `included`.
    Skip,
    /// `failed`.
    Error,
    /// `UNREACHABLE!`.
    Unreachable,
    /// `[WARNING]`.
    Warning,
    /// What `-v` adds.
    Verbose,
    /// What `-vv` adds.
    Debug,
    /// Added lines of a diff.
    Added,
    /// Removed lines of a diff.
    Removed,
    /// Line numbers of a diff.
    Lines,
}

impl Color {
    /// The parameters of the escape sequence.
    fn code(self) -> &'static str {
        match self {
            Self::Ok | Self::Added => "0;32",
            Self::Changed => "0;33",
            Self::Skip | Self::Lines => "0;36",
            Self::Error | Self::Removed => "0;31",
            Self::Unreachable => "1;31",
            Self::Warning => "1;35",
            Self::Verbose => "0;34",
            Self::Debug => "1;30",
        }
    }
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// `text` in `color`. Every line is coloured by itself, so that a pager can show any part.
    pub fn text(self, color: Color, text: &str) -> Cow<'_, str> {
        if !self.0 {
            return Cow::Borrowed(text);
        }
        let lines: Vec<_> = text.split('\n').map(|line| format!("\x1b[{}m{line}\x1b[0m", color.code())).collect();
        Cow::Owned(lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paints_line_by_line_or_not_at_all() {
        assert_eq!(Paint(true).text(Color::Removed, "--- before\n"), "\x1b[0;31m--- before\x1b[0m\n\x1b[0;31m\x1b[0m");
        assert_eq!(Paint(false).text(Color::Removed, "--- before\n"), "--- before\n");
    }
}
