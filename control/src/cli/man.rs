//! `hypertun man`: what does the manual say?

use std::io;

use clap::{Arg, Args, Command};
use clap_mangen::Man as Page;

use crate::cli::{Outcome, say};

/// Print the manual page, all commands on one page
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun man | man -l -")]
pub struct Man {}

impl Man {
    /// Prints the page of `hypertun`, the whole command.
    ///
    /// # Errors
    ///
    /// When standard output takes no more.
    pub fn run(self, hypertun: Command) -> Outcome {
        say::text(format_args!("{}", String::from_utf8_lossy(&page(hypertun)?)))?;
        Ok(0)
    }
}

/// One page: the command, then a chapter for each of those below it. In troff, with the macros of man(7).
fn page(mut hypertun: Command) -> io::Result<Vec<u8>> {
    hypertun.build();
    let mut page = Vec::new();
    let whole = Page::new(hypertun.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    chapters(&hypertun, &mut page)?;
    whole.render_version_section(&mut page)?;
    Ok(page)
}

/// The chapters of the commands below `above`.
fn chapters(above: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for command in above.get_subcommands().filter(|it| it.get_name() != "help") {
        let title = command.get_bin_name().unwrap_or_else(|| command.get_name());
        let mut chapter = Vec::new();
        let this = Page::new(command.clone().mut_args(unless_everywhere));
        this.render_description_section(&mut chapter)?;
        this.render_synopsis_section(&mut chapter)?;
        this.render_options_section(&mut chapter)?;
        this.render_extra_section(&mut chapter)?;
        let chapter = String::from_utf8_lossy(&chapter)
            .replace(".SH EXTRA", ".SH EXAMPLES")
            .replace(".SH ", ".SS ");
        page.extend(format!(".SH \"{}\"\n{chapter}", title.to_uppercase()).bytes());
        chapters(command, page)?;
    }
    Ok(())
}

/// Hides the options that every command has: the first chapter tells them.
fn unless_everywhere(arg: Arg) -> Arg {
    let everywhere = matches!(arg.get_id().as_str(), "help" | "version");
    arg.hide(everywhere)
}
