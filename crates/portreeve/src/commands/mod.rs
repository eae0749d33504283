//! The command line. Every command takes `-c gateway.yaml`; the exit status is 0, 1 (failed while running) or 2 (wrong file or words).

mod check;
mod demo;
mod plugins;
mod run;
mod schema;
pub(crate) mod table;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use portreeve_plugin::Registry;

/// A plugin-based API gateway on Pingora.
#[derive(Debug, Parser)]
#[command(name = "portreeve", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves. SIGHUP or a changed file reloads; SIGTERM drains; SIGINT stops at once.
    Run(run::Arguments),
    /// Starts sample services and the gateway in front of them, and prints lines to try.
    Demo(File),
    /// Validates the configuration: exit status 0, or 2 with every error. Warnings are printed, and are errors with --strict.
    Check(check::Arguments),
    /// Prints the JSON Schema of this binary's configuration, its plugins included.
    Schema(schema::Arguments),
    /// Lists the plugins of this binary.
    Plugins,
    /// Prints the routes, the most specific path of each first.
    Routes(File),
}

/// The configuration file.
#[derive(Debug, Clone, Args)]
pub(crate) struct File {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "gateway.yaml", env = "PORTREEVE_CONFIG")]
    config: PathBuf,
}

/// Failed while running.
const FAILED: u8 = 1;
/// The configuration or the command line is wrong.
const WRONG: u8 = 2;

/// Runs one command.
pub(crate) fn main<A: Into<OsString> + Clone>(registry: &Registry, arguments: impl IntoIterator<Item = A>) -> ExitCode {
    let parsed = CommandLine::command().try_get_matches_from(arguments);
    let line = match parsed.and_then(|mut matches| CommandLine::from_arg_matches_mut(&mut matches)) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are not errors; clap knows where each is printed.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG));
        }
    };
    match line.command {
        Command::Run(arguments) => run::run(registry, &arguments),
        Command::Demo(file) => demo::demo(registry, &file),
        Command::Check(arguments) => check::check(registry, &arguments),
        Command::Schema(arguments) => schema::schema(registry, &arguments),
        Command::Plugins => plugins::plugins(registry),
        Command::Routes(file) => table::routes(registry, &file),
    }
}

/// Prints on standard output. Whoever closed it early, as `head` does, has had enough: no error.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => complain(&format!("cannot write: {error}"), FAILED),
    }
}

/// Prints on standard error and gives the exit status.
fn complain(text: &str, status: u8) -> ExitCode {
    note(text);
    ExitCode::from(status)
}

/// Prints on standard error.
fn note(text: &str) {
    writeln!(io::stderr(), "{}", text.trim_end()).ok();
}
