//! `creamery rank`: how well a supernet ranks its paths.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use creamery_search::Trained;
use creamery_search::rank::{Agreement, RankedPath, Ranking};
use creamery_space::Architecture;
use creamery_train::{Candidate, Init, Layers, RetrainConfig, RetrainResult, RunData, RunFolder};
use creamery_view::chart::{Axis, Point, Scatter};
use creamery_view::rounded_count;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::answer::Answer;
use crate::cli::Global;
use crate::commands::{retrain, stopped, with_run};
use crate::error::CommandError;
use crate::interrupt;
use crate::overview::{Overview, table};
use crate::ranks;
use crate::recorded::{self, Recorded, Task};
use crate::unfinished::{Left, done, left};

const EXAMPLES: &str = "\
Draws paths within the budget of the search, trains each alone, and compares its accuracy on the test
images with what the supernet said of it on held-out ones.

Examples:
  creamery rank runs/spos-fashion-mini-1 --subnets 30 --epochs 10
  creamery rank --resume --out runs/spos-fashion-mini-1/rank-1
      a ranking that was stopped or killed
  creamery rank runs/bignas-1 --epochs 10 --alone runs/spos-1/rank-1/alone
      the same paths with another supernet; what was trained alone before is taken as it is";

/// Train some paths of a search's supernet alone, and compare the two rankings
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder of a search, finished or not
    #[arg(value_name = "RUN", required_unless_present = "resume")]
    supernet: Option<PathBuf>,
    /// Paths to compare, at least 5 [default: 30]
    #[arg(long, value_name = "N")]
    subnets: Option<usize>,
    /// Passes over the training images for each path [default: what the space recommends]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Decides which paths, and how they are trained alone [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Change one setting of the trainings, such as train.lr=0.05; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The ranking's folder [default: a new one in RUN]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where paths are trained alone, to be shared by the rankings of several supernets [default: in --out]
    #[arg(long, value_name = "DIR")]
    alone: Option<PathBuf>,
    /// Go on with the ranking in --out, where it was stopped or killed
    #[arg(long, requires = "out")]
    resume: bool,
    /// Share the work with the other processes that mpirun or srun has started; see docs/cluster.md
    #[arg(long)]
    pub mpi: bool,
}

/// What a ranking is: the text of its run.toml.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RankConfig {
    /// The folder of the search. Another may be named when the ranking goes on, as runs can be moved.
    supernet: PathBuf,
    /// Where paths are trained alone; in the ranking's own folder if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    alone: Option<PathBuf>,
    /// Paths to compare.
    subnets: usize,
    /// How each is trained alone; its seed decides which they are, too.
    retrain: RetrainConfig,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let global = &global.without_view();
    let begun = args.begun()?;
    let supernet = match (&args.supernet, &begun) {
        (Some(supernet), _) => supernet.clone(),
        (None, Some(begun)) => begun.supernet.clone(),
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    let ranks = global.ranks;
    let trained = Trained::open_among(ranks, &supernet, Trained::config(&supernet)?)?;
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| RunFolder::free_name(&supernet, "rank"));
    let config = args.config(&trained, supernet, &folder, begun.as_ref())?;
    ranks::check_training(
        ranks,
        &recorded::table(&config),
        trained.data.set.fingerprint(),
    )?;
    let folder = ranks::common_path(ranks, folder);
    let (seed, epochs) = (config.retrain.seed, config.retrain.train.epochs);
    let paths = Ranking::draw(&trained, config.subnets, seed)?;
    let part = Part::new(&trained, &config, &folder, global)?;
    for path in &paths {
        part.check_begun(path)?;
    }
    ranks.barrier();
    let run = ranks::folder(ranks, &folder, |folder| match args.resume {
        true => RunFolder::resume(folder),
        false => {
            let text = toml::to_string(&config).expect("configurations are plain data");
            RunFolder::create(folder, &text)
        }
    })?;
    global.note(&format!("asking the supernet about {} paths", paths.len()));
    let mut ranking = Ranking::begin(&trained, paths, seed, epochs)?;
    let stop = interrupt::stop_flag()?;
    for index in 0..ranking.paths.len() {
        let path = &ranking.paths[index];
        global.note(&format!(
            "path {} of {}: {}",
            index + 1,
            ranking.paths.len(),
            path.architecture
        ));
        let result = match ranks.any(stop.load(Ordering::Relaxed)) {
            true => None,
            false => part.train(&path.architecture)?,
        };
        let Some(result) = result else {
            let when = format!("with {index} of {} paths trained", ranking.paths.len());
            let resume = Task::Rank.resume_command(&folder);
            return Ok(stopped(&folder, &when, ("trained", index as u64), &resume));
        };
        ranking.paths[index].alone = Some(result.top1);
        run.write_json("rank.json", &ranking)?;
    }
    let agreement = ranking.compare()?;
    run.write_json("rank.json", &ranking)?;
    run.write("rank.svg", chart(&ranking, &agreement).as_bytes())?;
    Ok(answer(&ranking, &agreement, &folder))
}

impl Args {
    /// What the ranking to go on with was begun as.
    fn begun(&self) -> Result<Option<RankConfig>, CommandError> {
        let Some(folder) = self.out.as_deref().filter(|_| self.resume) else {
            return Ok(None);
        };
        let file = folder.join("run.toml");
        if !file.is_file() {
            return Err(CommandError::Usage(format!(
                "`{}` holds no ranking to go on with: leave --resume out to begin one",
                folder.display()
            )));
        }
        Task::Rank.check(folder)?;
        let layers = Layers {
            file: Some(&file),
            ..Layers::default()
        };
        Ok(Some(layers.resolve()?))
    }

    /// The whole configuration, which for a ranking that goes on must be the one that it was begun with.
    fn config(
        &self,
        trained: &Trained,
        supernet: PathBuf,
        folder: &Path,
        begun: Option<&RankConfig>,
    ) -> Result<RankConfig, CommandError> {
        let mut flags = Table::new();
        let number = |n: i64| Value::Integer(n);
        if let Some(epochs) = self.epochs {
            let train = Table::from_iter([("epochs".to_owned(), number(epochs.into()))]);
            flags.insert("train".to_owned(), Value::Table(train));
        }
        if let Some(seed) = self.seed {
            flags.insert("seed".to_owned(), number(seed as i64));
        }
        let resolve = |defaults| -> Result<RetrainConfig, CommandError> {
            let layers = Layers {
                defaults,
                file: None,
                sets: &self.sets,
                flags: flags.clone(),
            };
            Ok(layers.resolve()?)
        };
        let retrain = match begun {
            Some(begun) => {
                let before = Table::try_from(&begun.retrain);
                resolve(before.expect("configurations are plain data"))?
            }
            None => RetrainConfig::after_search(&trained.space, &trained.config.data, resolve)?,
        };
        retrain.check()?;
        let subnets = begun.map_or(30, |begun| begun.subnets);
        let alone = begun.and_then(|begun| begun.alone.clone());
        let config = RankConfig {
            supernet: absolute(&supernet),
            alone: self.alone.as_deref().map(absolute).or(alone),
            subnets: self.subnets.unwrap_or(subnets),
            retrain,
        };
        let moved = |begun: &RankConfig| RankConfig {
            supernet: config.supernet.clone(),
            ..begun.clone()
        };
        match begun {
            Some(begun) if moved(begun) != config => Err(CommandError::Usage(format!(
                "`{}` was begun with other settings: go on with `{}` and no more, or begin another with another --out",
                folder.display(),
                Task::Rank.resume_command(folder)
            ))),
            _ => Ok(config),
        }
    }
}

/// A path that stays what it is wherever the command is called.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What training a path alone needs.
struct Part<'a> {
    trained: &'a Trained,
    config: &'a RetrainConfig,
    /// The images as the training has them.
    data: RunData,
    alone: PathBuf,
    global: &'a Global,
}

impl<'a> Part<'a> {
    /// Refuses what no training can begin with.
    fn new(
        trained: &'a Trained,
        config: &'a RankConfig,
        folder: &Path,
        global: &'a Global,
    ) -> Result<Self, CommandError> {
        let (alone, config) = (config.alone.clone(), &config.retrain);
        let (ours, theirs) = (&config.data.source, &trained.config.data.source);
        if ours != theirs {
            return Err(CommandError::Usage(format!(
                "the supernet was trained on `{theirs}`, so its paths cannot be compared on `{ours}`: leave `data.source` out"
            )));
        }
        if config.init != Init::Scratch {
            return Err(CommandError::Usage(format!(
                "`init` is {}, but paths that are to be compared with the supernet are trained from scratch: leave it out",
                config.init
            )));
        }
        let set = trained.data.set.clone();
        let resolution = trained.data.pipeline.resolution;
        let data = RunData {
            ranks: global.ranks,
            ..RunData::prepare(set, &config.data, resolution, config.seed)?
        };
        config.check_start(&data)?;
        Ok(Self {
            trained,
            config,
            data,
            alone: alone.unwrap_or_else(|| folder.join("alone")),
            global,
        })
    }

    /// Where a path is trained; resolutions do not meet.
    fn folder(&self, path: &Architecture) -> PathBuf {
        self.alone.join(path.to_string().replace([':', '/'], "_"))
    }

    /// Refuses a path that was trained alone in another way, or on other images.
    fn check_begun(&self, path: &Architecture) -> Result<(), CommandError> {
        let folder = self.folder(path);
        if !folder.join("run.toml").exists() {
            return Ok(());
        }
        let recorded = Recorded::read::<RetrainConfig>(&folder, Task::Retrain)?;
        if let Some([key, before, now]) = recorded.change(self.config) {
            return Err(CommandError::Usage(format!(
                "`{}` was trained with `{key}` {before}, which cannot become {now}: train all paths alike, or in another folder with --alone",
                folder.display()
            )));
        }
        let set = &self.trained.data.set;
        recorded.check_identity(&self.trained.space, &set.name, &set.fingerprint())
    }

    /// Trains a path alone, or what is left of it; `None` if it was stopped.
    fn train(&self, path: &Architecture) -> Result<Option<RetrainResult>, CommandError> {
        let start = match left::<RetrainConfig, RetrainResult>(
            self.folder(path),
            Task::Retrain,
            self.global.ranks,
        )? {
            Left::Nothing(result) => return Ok(Some(result)),
            Left::Run(start) => start,
        };
        let teacher = retrain::teacher(self.config, None)?;
        let candidate = Candidate {
            space: &self.trained.space,
            architecture: path,
            inherited: None,
            teacher: teacher.as_ref(),
        };
        let (outcome, _) =
            retrain::retrain_in(start, self.config, &candidate, &self.data, self.global)?;
        Ok(done(outcome))
    }
}

fn chart(ranking: &Ranking, agreement: &Agreement) -> String {
    // Whom the supernet would hand out, and whom it should.
    let best = |score: fn(&RankedPath) -> f64| {
        let paths = ranking.paths.iter();
        paths.max_by(|a, b| score(a).total_cmp(&score(b)))
    };
    let chosen = best(|path| path.supernet.top1);
    let winner = best(|path| path.alone.unwrap_or_default());
    let label = |path: &RankedPath| match (Some(path) == chosen, Some(path) == winner) {
        (true, true) => Some("best in both".to_owned()),
        (true, false) => Some("the supernet's best".to_owned()),
        (false, true) => Some("best alone".to_owned()),
        (false, false) => None,
    };
    let point = |path: &RankedPath| Point {
        x: path.supernet.top1,
        y: path.alone.unwrap_or_default(),
        name: format!(
            "{}, {} MACs",
            path.architecture,
            rounded_count(path.cost.macs)
        ),
        label: label(path),
    };
    let scatter = Scatter {
        title: format!("How a {} supernet ranks its paths", ranking.method),
        x: Axis::new("top-1 with the supernet's weights", "%"),
        y: Axis::new("top-1 trained alone", "%"),
        points: ranking.paths.iter().map(point).collect(),
        caption: agreement.to_string(),
    };
    scatter.svg().expect("accuracies are finite numbers")
}

fn answer(ranking: &Ranking, agreement: &Agreement, folder: &Path) -> Answer {
    let percent = |value: f64| format!("{value:.2}%");
    let mut paths: Vec<&RankedPath> = ranking.paths.iter().collect();
    paths.sort_by(|a, b| b.alone.partial_cmp(&a.alone).expect("they are numbers"));
    let rows = paths.iter().map(|path| {
        vec![
            path.architecture.to_string(),
            rounded_count(path.cost.macs),
            percent(path.supernet.top1),
            path.alone.map_or_else(String::new, percent),
        ]
    });
    let header = ["architecture", "MACs", "supernet", "alone"];
    let mut overview = Overview::default();
    overview
        .row("Kendall tau-b", agreement.tau_b.to_string())
        .row("Spearman", agreement.spearman.to_string())
        .row("Pearson", agreement.pearson.to_string())
        .row("paths", agreement.n.to_string());
    for name in ["rank.json", "rank.svg"] {
        overview.row(name, folder.join(name).display().to_string());
    }
    let text = format!("{}\n{overview}", table(&header, &[0], rows.collect()));
    Answer::done(text, with_run(ranking, folder))
}
