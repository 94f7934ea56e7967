//! Puts a rendered template in place.
//!
//! ```yaml
//! - template: {src: shop.service.j2, dest: /etc/systemd/system/shop.service, mode: "0644"}
//!   notify: restart shop
//! ```

use super::copy::Placing;
use super::prelude::*;

params! {
    pub struct Template {
        /// A template of the controller.
        src: LocalTemplate,
        /// Where to.
        dest: PathText,
        /// Replace what differs; otherwise only write what is not there.
        force: bool = true,
        /// Keep what was there as `dest.PID.date~`.
        backup: bool = false,
        /// A command that must accept the file `%s` before it is put in place.
        validate: Option<String>,
        /// Write through a link at `dest` instead of replacing it.
        follow: bool = false,
        /// How lines end.
        newline_sequence: String = "\n",
        /// How a block starts in the template.
        block_start_string: String = "{%",
        /// How a block ends in the template.
        block_end_string: String = "%}",
        /// How an expression starts in the template.
        variable_start_string: String = "{{",
        /// How an expression ends in the template.
        variable_end_string: String = "}}",
        /// How a comment starts in the template.
        comment_start_string: Option<String>,
        /// How a comment ends in the template.
        comment_end_string: Option<String>,
        /// Drop the newline after a block.
        trim_blocks: bool = true,
        /// Drop the spaces before a block.
        lstrip_blocks: bool = false,
        /// How the result is encoded.
        output_encoding: String = "utf-8",
    }
    group = file: FileAttributes;
}

impl Module for Template {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let Some(content) = machine.content("src").cloned() else {
            return Err(Failure::new(format!("the rendered `{}` did not come along", self.src.0)));
        };
        let placing = Placing {
            options: self.file.options(self.backup, self.validate.as_deref()),
            directory_mode: None,
            force: self.force,
            follow: self.follow,
            on_host: false,
        };
        placing.file(machine, Some(&self.src.0), &content, &self.dest.0)
    }
}
