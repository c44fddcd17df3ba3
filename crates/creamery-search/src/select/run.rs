//! A selection from its configuration to its result.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use creamery_nn::{NamedTensor, NnError, Subnet, SuperNet};
use creamery_space::{Architecture, Space};
use creamery_train::engine::Timing;
use creamery_train::event::{Event, Events};
use creamery_train::{
    ConfigError, DataSettings, Identity, Model, ModelInput, Outcome, Ranks, RunData, RunFolder,
    TrainError,
};
use serde::{Deserialize, Serialize};

use super::{
    Evaluate, EvaluationLog, Halt, LogError, Pool, Recorded, SelectSettings, Selected, SelectorName,
};
use crate::config::{BudgetSettings, SearchConfig};
use crate::judge::{Judge, Panel};
use crate::result::{Member, SearchResult};
use crate::trained::Trained;

/// The configuration of a selection from a run's supernet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectConfig {
    /// The seed of the run, which decided the images that it held out.
    pub seed: u64,
    /// The device that computes.
    pub device: String,
    /// A file with the times of the space's blocks, for bounds on latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_table: Option<String>,
    /// The images of the run.
    pub data: DataSettings,
    /// What the winner may cost.
    pub budget: BudgetSettings,
    /// How it is chosen.
    pub select: SelectSettings,
}

impl Default for SelectConfig {
    fn default() -> Self {
        Self::of(&SearchConfig::default())
    }
}

impl SelectConfig {
    /// What a selection does where nothing else is said: as the run was configured.
    pub fn of(run: &SearchConfig) -> Self {
        Self {
            seed: run.seed,
            device: run.device.clone(),
            latency_table: run.latency_table.clone(),
            data: run.data.clone(),
            budget: run.budget.clone(),
            select: run.select.clone(),
        }
    }

    /// Refuses values that no selection can have, and those that would score paths by images that the
    /// supernet was trained on.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key, its value and what would do.
    pub fn check(&self, run: &SearchConfig) -> Result<(), ConfigError> {
        self.select.check()?;
        if self.budget.buckets == 0 {
            return Err(ConfigError::Value(
                "`budget.buckets` is 0, but must be at least 1".into(),
            ));
        }
        let decides = |seed: u64, data: &DataSettings| {
            [
                ("seed", seed.to_string()),
                ("data.validation", data.validation.to_string()),
                (
                    "data.split_seed",
                    data.split_seed.unwrap_or(seed).to_string(),
                ),
            ]
        };
        let own = decides(self.seed, &self.data);
        for ((key, own), (_, run)) in own.into_iter().zip(decides(run.seed, &run.data)) {
            if own != run {
                return Err(ConfigError::Value(format!(
                    "`{key}` is {own}, but the run held its images out with {run}: leave it so; --seed and `select.seed` are the selection's own seed"
                )));
            }
        }
        Ok(())
    }
}

/// Chooses the winner from a trained supernet and writes the selection's result. Goes on from the folder's
/// evaluations if it has some. Costs are those of `trained.space`, which may have been given another latency table than
/// the search had.
///
/// # Errors
/// If the configuration is out of range, nothing fits the budget, the selector needs a board that is
/// not there, the evaluations in the folder are of another supernet, or the folder cannot be written.
pub fn select(
    trained: &Trained,
    config: &SelectConfig,
    run: &RunFolder,
    events: &mut Events,
    stop: &AtomicBool,
) -> Result<Outcome<SearchResult>, TrainError> {
    config.check(&trained.config)?;
    let name = config.select.selector(trained.board.is_some())?;
    let seed = config.select.seed.unwrap_or(config.seed);
    let mut pool = Pool::new(&trained.space, &trained.data, &config.budget, seed)?;
    let mut board = trained.board.clone().unwrap_or_default();
    for row in &mut board {
        row.cost = pool.whole().cost(&row.architecture);
    }
    pool.board = board;
    let source = Source {
        config: &trained.config,
        space: &trained.space,
        data: &trained.data,
        supernet: &trained.supernet,
        judge: &trained.judge,
        step: trained.step,
        folder_is_own: false,
    };
    let end = conclude(&source, &pool, name, &config.select, run, events, stop)?;
    if let Outcome::Done(result) = &end {
        run.write_json("result.json", result)?;
    }
    Ok(end)
}

/// A supernet to choose from.
pub(crate) struct Source<'a> {
    pub config: &'a SearchConfig,
    pub space: &'a Space,
    pub data: &'a RunData,
    pub supernet: &'a SuperNet,
    pub judge: &'a Judge,
    /// The training steps that were done.
    pub step: u64,
    /// Whether the selection works in the folder of the supernet's run. Evaluations that are there of an
    /// earlier state of the supernet are then replaced instead of refused.
    pub folder_is_own: bool,
}

/// Runs a selector, and writes the winner's weights. The result is that of a selection; its time is
/// that of this process.
///
/// A selection that is stopped says how many paths it has evaluated.
pub(crate) fn conclude(
    source: &Source<'_>,
    pool: &Pool,
    name: SelectorName,
    settings: &SelectSettings,
    run: &RunFolder,
    events: &mut Events,
    stop: &AtomicBool,
) -> Result<Outcome<SearchResult>, TrainError> {
    let since = Instant::now();
    let selector = name.with(settings);
    let of = selector.evaluations(pool);
    if of == 0 {
        return Err(none(pool).into());
    }
    let mut paths = Paths::new(source, name, settings)?;
    let mut recorded = Recorded {
        log: paths.log(source, run)?,
        inner: &mut paths,
        candidates: pool.whole(),
        of,
        events,
        stop,
        asked: HashSet::new(),
    };
    let selected = selector.select(pool, &mut recorded);
    let evaluations = recorded.asked.len();
    let Selected { winners, front } = match selected {
        Ok(selected) => selected,
        Err(Halt::Failed(error)) => return Err(error),
        Err(Halt::Stopped) => {
            return Ok(Outcome::Stopped {
                step: evaluations as u64,
            });
        }
    };

    let mut members = Vec::new();
    let mut best: Option<(Member, Subnet)> = None;
    for winner in winners {
        let path = source.supernet.path(&winner.scored.architecture)?;
        let (validation, net) = source.judge.validate(path)?;
        let member = Member::new(&winner, validation, source.space).map_err(NnError::from)?;
        if best.as_ref().is_none_or(|(best, _)| member.beats(best)) {
            best = Some((member.clone(), net));
        }
        members.push(member);
    }
    let (winner, net) = best.ok_or_else(|| none(pool))?;
    let buckets = pool.buckets().len();
    if members.len() < buckets {
        events.emit(Event::Warning {
            message: missing(name, buckets - members.len(), buckets),
        })?;
    }
    let model = Model {
        net,
        space: source.space.clone(),
        input: ModelInput::of(source.data),
    };
    let weights = "model.safetensors";
    if run.is_writer() {
        model.save(&run.file(weights))?;
    }
    let seconds = since.elapsed().as_secs_f64();
    Ok(Outcome::Done(SearchResult {
        kind: "select".into(),
        method: source.config.method.clone(),
        selector: name,
        space: source.space.name.clone(),
        dataset: source.data.set.name.clone(),
        seed: pool.seed,
        architecture: winner.architecture,
        cost: winner.cost,
        validation: winner.validation,
        board: pool.board.clone(),
        evaluations,
        front,
        family: if buckets > 1 { members } else { Vec::new() },
        weights: weights.into(),
        timing: Timing {
            seconds,
            images_per_second: paths.judged as f64 / seconds.max(f64::MIN_POSITIVE),
            data_wait: 0.0,
            peak_memory_bytes: creamery_train::peak_memory(),
        },
    }))
}

/// What is wrong where nothing was found. There is a path for every budget, so the board had none.
fn none(pool: &Pool) -> ConfigError {
    ConfigError::Value(if pool.board.is_empty() {
        "the search ended with an empty board: train longer, or choose another selector, such as evolution".into()
    } else {
        format!(
            "no path of the board costs {}: widen the budget, or choose another selector, such as evolution",
            pool.whole().budget()
        )
    })
}

fn missing(name: SelectorName, missing: usize, buckets: usize) -> String {
    let mend = match name {
        SelectorName::Board => "train longer, or with fewer buckets",
        _ => "paths of cheaper ones are as good as all that were found there",
    };
    format!("{missing} of {buckets} buckets have no winner: {mend}")
}

/// Evaluates the paths of a supernet.
struct Paths<'a> {
    supernet: &'a SuperNet,
    judge: &'a Judge,
    /// The images that score a path; all that were held out without it.
    panel: Option<Panel>,
    /// Images of an evaluation.
    images: usize,
    /// Images in all so far.
    judged: usize,
    ranks: Ranks,
    /// Paths that will be asked about, and the top-1 of those that some rank has evaluated.
    expected: VecDeque<Architecture>,
    ahead: HashMap<Architecture, f64>,
}

impl<'a> Paths<'a> {
    fn new(
        source: &Source<'a>,
        name: SelectorName,
        settings: &SelectSettings,
    ) -> Result<Self, TrainError> {
        let panel = match name {
            // Few paths: every image counts, as the search's own result has it.
            SelectorName::Board => None,
            _ => Some(source.judge.panel(settings.images)?),
        };
        let all = source.data.validation_images();
        Ok(Self {
            supernet: source.supernet,
            judge: source.judge,
            images: panel.as_ref().map_or(all, Panel::images),
            panel,
            judged: 0,
            ranks: source.data.ranks,
            expected: VecDeque::new(),
            ahead: HashMap::new(),
        })
    }

    /// The evaluations so far.
    fn log(&self, source: &Source<'_>, run: &RunFolder) -> Result<EvaluationLog, TrainError> {
        let (path, identity) = (run.file("evaluations.jsonl"), self.identity(source));
        if !run.is_writer() {
            let known = self.ranks.broadcast(Vec::new());
            return Ok(EvaluationLog::watched(&path, known));
        }
        let log = Self::open(source, run, &path, &identity)?;
        if !self.ranks.is_alone() {
            self.ranks.broadcast(log.known());
        }
        Ok(log)
    }

    fn open(
        source: &Source<'_>,
        run: &RunFolder,
        path: &Path,
        identity: &Identity,
    ) -> Result<EvaluationLog, TrainError> {
        let found = EvaluationLog::open(path, identity);
        if source.folder_is_own && matches!(found, Err(LogError::Other { .. })) {
            run.write("evaluations.jsonl", b"")?;
            return Ok(EvaluationLog::open(path, identity)?);
        }
        Ok(found?)
    }

    /// All that the evaluations depend on.
    fn identity(&self, source: &Source<'_>) -> Identity {
        let config = source.config;
        let calibration = config.cream.calibration_images;
        Identity(BTreeMap::from([
            ("space".into(), source.space.fingerprint()),
            ("data".into(), source.data.set.fingerprint()),
            (
                "resolution".into(),
                source.data.pipeline.resolution.to_string(),
            ),
            ("seed".into(), config.seed.to_string()),
            ("batch".into(), config.train.batch.to_string()),
            ("calibration images".into(), calibration.to_string()),
            ("images".into(), self.images.to_string()),
            ("step".into(), source.step.to_string()),
            ("supernet".into(), fingerprint(&self.supernet.state())),
        ]))
    }
}

impl Evaluate for Paths<'_> {
    fn top1(&mut self, architecture: &Architecture) -> Result<f64, Halt> {
        self.judged += self.images;
        let path = |path| self.supernet.path(path).map_err(TrainError::from);
        let Some(panel) = &self.panel else {
            return Ok(self.judge.validate(path(architecture)?)?.0.top1);
        };
        if self.ranks.is_alone() || self.expected.front() != Some(architecture) {
            return match self.ahead.remove(architecture) {
                Some(top1) => Ok(top1),
                None => Ok(self.judge.score(self.ranks, path(architecture)?, panel)?),
            };
        }
        // As many as there are ranks: whoever is stopped loses no more than these.
        let count = self.expected.len().min(self.ranks.size());
        let next: Vec<_> = self.expected.drain(..count).collect();
        let scores = self.ranks.share_out(count, |index| {
            let alone = Ranks::default();
            self.judge.score(alone, path(&next[index])?, panel)
        })?;
        self.ahead.extend(next.into_iter().zip(scores));
        Ok(self.ahead.remove(architecture).unwrap_or_default())
    }

    fn expect(&mut self, architectures: &[Architecture]) {
        if !self.ranks.is_alone() {
            self.expected = architectures.to_vec().into();
        }
    }

    fn stops(&mut self, asked: bool) -> bool {
        self.ranks.any(asked)
    }
}

/// A short hash of weights, 16 hexadecimal digits.
fn fingerprint(state: &[NamedTensor]) -> String {
    let mut hasher = blake3::Hasher::new();
    for tensor in state {
        hasher.update(tensor.name.as_bytes());
        for value in &tensor.values {
            hasher.update(&value.to_le_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_string()
}
