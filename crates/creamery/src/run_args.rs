//! Flags that searches and retrainings share, and how they become a configuration.

use std::path::PathBuf;

use creamery_train::{ConfigError, Layers, merge};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// What every training takes.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Data and training [defaults: what the space recommends]")]
pub(crate) struct RunArgs {
    /// Images: fashion-mini (built in), fashion-mnist[:DIR], mnist:DIR, cifar10:DIR, cifar100:DIR, folder:DIR, tar:DIR,
    /// parquet:DIR, packed:FILE
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
    /// Leave out images that cannot be used, instead of stopping at them
    #[arg(long)]
    pub skip_bad_images: bool,
    /// Passes over the training images
    #[arg(long, value_name = "N")]
    pub epochs: Option<u32>,
    /// Images per step
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Decides every random choice of the run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    #[arg(long, value_name = "NAME", help = device_help())]
    pub device: Option<String>,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where a run is, and what changes its settings.
#[derive(clap::Args, Debug)]
pub(crate) struct PlaceArgs {
    /// The run's folder [default: a new one below runs/]
    #[arg(help_heading = "Run", long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run in --out, where it was stopped or killed
    #[arg(help_heading = "Run", long, requires = "out")]
    pub resume: bool,
    /// Share the work with the other processes that mpirun or srun has started; see docs/cluster.md
    #[arg(help_heading = "Run", long)]
    pub mpi: bool,
    /// Read settings from a TOML file, such as the run.toml of another run
    #[arg(help_heading = "Run", short, long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Change one setting, such as train.lr=0.05; may be given several times
    #[arg(help_heading = "Run", long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

impl RunArgs {
    /// The settings that the flags make, a command's own ones included.
    pub fn flags(&self, own: Vec<(&str, Option<Value>)>) -> Table {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let number = |number: Option<u64>| number.map(|n| Value::Integer(n as i64));
        let shared = [
            ("data.source", text(&self.data)),
            (
                "data.skip_bad_images",
                self.skip_bad_images.then_some(Value::Boolean(true)),
            ),
            ("train.epochs", number(self.epochs.map(u64::from))),
            ("train.batch", number(self.batch.map(u64::from))),
            ("seed", number(self.seed)),
            ("device", text(&self.device)),
        ];
        flags(shared.into_iter().chain(own))
    }
}

impl PlaceArgs {
    /// The configuration: flags over `--set` over the file over `defaults`.
    ///
    /// # Errors
    /// With the place of what is wrong.
    pub fn resolve<C: DeserializeOwned>(
        &self,
        defaults: Table,
        flags: Table,
    ) -> Result<C, ConfigError> {
        Layers {
            defaults,
            file: self.config.as_deref(),
            sets: &self.sets,
            flags,
        }
        .resolve()
    }
}

/// The settings that flags make, at their dotted keys.
pub(crate) fn flags<'a>(given: impl IntoIterator<Item = (&'a str, Option<Value>)>) -> Table {
    let mut flags = Table::new();
    for (key, value) in given {
        if let Some(value) = value {
            merge(&mut flags, nested(key, value));
        }
    }
    flags
}

/// The help of `--device`: what this very build has.
pub(crate) fn device_help() -> String {
    let names = creamery_nn::device_usage();
    format!("What computes: {names}; others need a build with the Cargo feature of their name")
}

/// A table with a value at a dotted key.
fn nested(key: &str, value: Value) -> Table {
    match key.split_once('.') {
        Some((head, rest)) => {
            Table::from_iter([(head.to_owned(), Value::Table(nested(rest, value)))])
        }
        None => Table::from_iter([(key.to_owned(), value)]),
    }
}

/// The value at a dotted key.
pub(crate) fn at<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((head, rest)) => at(table.get(head)?.as_table()?, rest),
        None => table.get(key),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    #[test]
    fn flags_become_settings() {
        let line = [
            "x",
            "--data",
            "mnist:a b",
            "--epochs",
            "3",
            "--seed",
            "7",
            "--skip-bad-images",
        ];
        let run = Line::parse_from(line).run;
        let flags = run.flags(vec![("train.lr", Some(Value::Float(0.5))), ("init", None)]);
        assert_eq!(
            flags.to_string(),
            "seed = 7\n\n[data]\nskip_bad_images = true\nsource = \"mnist:a b\"\n\n[train]\nepochs = 3\nlr = 0.5\n"
        );
        assert_eq!(at(&flags, "train.lr"), Some(&Value::Float(0.5)));
        assert_eq!(at(&flags, "seed.x"), None);
        assert_eq!(at(&flags, "train.batch"), None);
    }

    #[test]
    fn resuming_needs_the_folder() {
        assert!(Line::try_parse_from(["x", "--resume"]).is_err());
        assert!(Line::try_parse_from(["x", "--seed", "9223372036854775808"]).is_err());
    }
}
