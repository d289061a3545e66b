//! The composition root: a file a verb, and what they share: how an error becomes an exit code and a sentence.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{CommandFactory, FromArgMatches};
use serde::Serialize;

use self::dry_run::{plan, tables};
use self::plugin::{cancel, doctor, in_cluster, logs, status, suspend, trigger};
use crate::cli::{Cli, LogArgs, LogFormat, Output, Verb};
pub use crate::model::failure::FailureKind;
use crate::store::secrets;
use crate::{codec, telemetry};

pub mod completions;
pub mod controller;
pub mod crd;
pub mod dry_run;
pub mod plugin;
pub mod render;
pub mod run;
pub mod state;
pub mod syncs;
pub mod validate;
pub mod worker;

/// Parses the arguments, runs the verb, and reports: the whole of `main`.
pub fn main() -> ExitCode {
    let cli = parse();
    install_panic_hook();
    telemetry::install(&cli.logging);
    match dispatch(cli.verb, &cli.logging) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, &cli.logging);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// The name under which kubectl finds a plugin: `kubectl s3sync` runs `kubectl-s3sync` of the PATH.
/// <https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>
const PLUGIN: &str = "kubectl-s3sync";

/// The arguments, as the program that was called: the binary, or kubectl with the binary as its plugin.
fn parse() -> Cli {
    let called = std::env::args_os().next().map(std::path::PathBuf::from);
    let plugin = called.as_deref().and_then(|path| path.file_stem()).is_some_and(|name| name == PLUGIN);
    let mut command = Cli::command();
    if plugin {
        command = command.name("kubectl s3sync").bin_name("kubectl s3sync").display_name("kubectl s3sync");
    }
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

fn dispatch(verb: Verb, logging: &LogArgs) -> Result<(), CommandError> {
    match verb {
        Verb::Run(args) => run::execute(args, logging),
        Verb::Plan(args) => plan::execute(&args),
        Verb::Tables(args) => tables::execute(&args),
        Verb::State(args) => state::execute(args, logging),
        Verb::Validate(args) => validate::execute(&args),
        Verb::Status(args) => status::execute(&args),
        Verb::Trigger(args) => trigger::execute(&args),
        Verb::Cancel(args) => cancel::execute(&args),
        Verb::Suspend(args) => suspend::execute(&args, true),
        Verb::Resume(args) => suspend::execute(&args, false),
        Verb::Logs(args) => logs::execute(&args),
        Verb::Doctor(args) => doctor::execute(&args, logging),
        Verb::Worker => worker::execute(),
        Verb::Controller(args) => controller::execute(*args),
        Verb::Crd => crd::execute(),
        Verb::Completions { shell } => completions::execute(shell),
    }
}

/// Why a verb failed: one sentence for each error, with its causes behind it.
#[derive(Debug)]
pub struct CommandError {
    /// Decides the exit code.
    pub kind: FailureKind,
    /// What is printed, in order. Empty when the verb has said everything itself.
    pub errors: Vec<anyhow::Error>,
}

impl CommandError {
    /// One error.
    pub fn new(kind: FailureKind, error: impl Into<anyhow::Error>) -> CommandError {
        CommandError { kind, errors: vec![error.into()] }
    }

    /// A verb that has reported its failures itself.
    pub fn reported(kind: FailureKind) -> CommandError {
        CommandError { kind, errors: Vec::new() }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> CommandError {
        CommandError::new(FailureKind::Other, error)
    }
}

/// The async runtime: a thread a core for moving bytes; computing has threads of its own.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CommandError::new(FailureKind::Other, anyhow::Error::new(error).context("the system gives no threads"))
    })
}

/// Writes a result to stdout. A reader that has gone away (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match in_cluster::frames::write(text, &mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::new(
            FailureKind::Other,
            anyhow::Error::new(error).context("the result cannot be written to stdout"),
        )),
        _ => Ok(()),
    }
}

/// Says something on stderr that is no result. Nobody is left to be told when it is closed.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", render::printable(&secrets::hide(text)));
}

/// A result as one document, with its newline. A table has no one document: ask only for JSON or YAML.
pub fn document<T: Serialize>(result: &T, output: Output) -> Result<String, CommandError> {
    let text = match output {
        Output::Yaml => serde_yaml::to_string(result).map_err(anyhow::Error::new)?,
        Output::Json | Output::Table => {
            format!("{}\n", serde_json::to_string_pretty(result).map_err(anyhow::Error::new)?)
        }
    };
    Ok(text)
}

/// Says on stderr what went wrong: one line an error, with `-v` its causes below it.
pub fn report(error: &CommandError, logging: &LogArgs) {
    for error in &error.errors {
        let mut causes: Vec<String> =
            error.chain().map(|cause| secrets::hide(&cause.to_string()).into_owned()).collect();
        // An error that passes on its cause's own sentence has said it.
        causes.dedup();
        let error = causes.remove(0);
        match logging.log_format {
            LogFormat::Json if logging.verbose > 0 => tracing::error!(?causes, "{error}"),
            LogFormat::Json => tracing::error!("{error}"),
            LogFormat::Text => {
                let mut text = format!("error: {}\n", render::printable(&error));
                for cause in causes.iter().filter(|_| logging.verbose > 0) {
                    text.push_str(&format!("  caused by: {}\n", render::printable(cause)));
                }
                // Nobody is left to be told when stderr is closed.
                let _ = std::io::stderr().lock().write_all(text.as_bytes());
            }
        }
    }
}

/// What else is done with a panic's sentence.
static LAST_WORDS: OnceLock<TerminationMessage> = OnceLock::new();

type TerminationMessage = Box<dyn Fn(&str) + Send + Sync>;

/// Gives a panic's sentence to `termination_message` before the process ends. The first call counts.
fn on_panic(termination_message: impl Fn(&str) + Send + Sync + 'static) {
    let _ = LAST_WORDS.set(Box::new(termination_message));
}

/// A panic is a bug of ours: it ends the process at once (the protocol survives that at any instruction) with one
/// sentence instead of a backtrace, unless `RUST_BACKTRACE` asks for it.
fn install_panic_hook() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Corrupt input in a format library: it is caught, and becomes the object's error.
        if codec::catching() {
            return;
        }
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            default(info);
        }
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("no message");
        let text = format!("s3sync has a bug{place}: {what}; nothing is lost, run again, and please report this line");
        let text = secrets::hide(&text);
        let _ = std::io::stderr().lock().write_all(format!("error: {text}\n").as_bytes());
        if let Some(termination_message) = LAST_WORDS.get() {
            termination_message(&text);
        }
        std::process::exit(i32::from(FailureKind::Other.exit_code()));
    }));
}
