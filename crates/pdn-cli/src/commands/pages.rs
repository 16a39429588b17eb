//! `pdn completions` and `pdn man`: shell completions and manual pages, from the same definition that parses the
//! arguments.

use crate::args::version::NUMBER;
use crate::args::{Args, Completions, Man};
use crate::display::say::{out, say};
use crate::shared::failure::Failure;
use clap::CommandFactory;
use clap_mangen::generate_to;

pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "pdn", &mut script);
    print(&script);
    Ok(())
}

pub(crate) fn man(args: &Man) -> Result<(), Failure> {
    // Show only the version number: a page is made on one machine and read on others.
    let command = Args::command().disable_help_subcommand(true).version(NUMBER).long_version(None::<&str>);
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::failed)?;
        print(&page);
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| generate_to(command, folder))
        .map_err(|error| Failure::at(folder, format_args!("cannot write the manual pages: {error}")))?;
    say!("{}: pdn.1 and one page per command", folder.display());
    Ok(())
}

fn print(bytes: &[u8]) {
    out(String::from_utf8_lossy(bytes).trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_described_without_contradiction() {
        Args::command().debug_assert();
    }
}
