//! `creamery serve`: the dashboard of a folder of runs.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use creamery_serve::{Dashboard, ServeError, Token};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;
use crate::interrupt::stop_flag;

const EXAMPLES: &str = "\
Examples:
  creamery serve
      the runs in runs/, at http://127.0.0.1:8000, for this machine alone
  creamery serve experiments --port 0
      another folder, any port that is free
  creamery serve --host 0.0.0.0
      for other machines, too, at the address with the token that it prints; they see all runs of the folder
  creamery serve --host 0.0.0.0 --token-file token.txt
      with a token that stays the same

Nothing can be changed by way of the dashboard, and nothing outside of the folder can be read.
docs/api.md describes its JSON API.";

/// The variable that may hold the token.
const VARIABLE: &str = "CREAMERY_TOKEN";

/// Show runs in a browser, while they work and after
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder of runs, which may lie deeper in it
    #[arg(value_name = "RUNS", default_value = "runs")]
    runs: PathBuf,
    /// The address to listen on; with any but this machine's own a token is needed
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// The port; 0 is any that is free
    #[arg(long, value_name = "N", default_value_t = 8000)]
    port: u16,
    /// A file with the token that browsers must show [default: the variable CREAMERY_TOKEN; where it is needed and not given, a random one]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    if !args.runs.is_dir() {
        return Err(CommandError::Usage(format!(
            "`{}` is no folder: name the one that your runs are in",
            args.runs.display()
        )));
    }
    let token = token(args)?;
    let address = SocketAddr::new(args.host, args.port);
    let dashboard = Dashboard::bind(&args.runs, address, token.clone())?;
    let stop = stop_flag()?;
    let place = format!("http://{}/", dashboard.address());
    let link = match &token {
        Some(token) => format!("{place}?token={}", token.text()),
        None => place.clone(),
    };
    // The answer comes only when the server ends, and who waits for it to begin reads this; so it is no note.
    let runs = args.runs.display();
    let _ = writeln!(io::stderr(), "{runs} is shown at {link}  (Ctrl-C ends it)");
    if !args.host.is_loopback() {
        global.note("note: what is sent is not encrypted; where others listen, go through ssh or a proxy with TLS");
    }
    dashboard.run(stop)?;
    let json =
        json!({ "kind": "serve", "address": place, "runs": args.runs.display().to_string() });
    Ok(Answer::done(String::new(), json))
}

fn token(args: &Args) -> Result<Option<Token>, CommandError> {
    let from = |text: &str, origin: &str| {
        Token::new(text.trim()).map_err(|error| CommandError::Usage(format!("{origin}: {error}")))
    };
    if let Some(path) = &args.token_file {
        let text = fs::read_to_string(path).map_err(|source| CommandError::Read {
            path: path.clone(),
            source,
        })?;
        return from(&text, &path.display().to_string()).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => from(&text, VARIABLE).map(Some),
        _ if args.host.is_loopback() => Ok(None),
        _ => Token::random()
            .map(Some)
            .map_err(|source| ServeError::Start(source).into()),
    }
}
