//! A search before its first step: supernet, strategy, judge and plan of a configuration.

use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::Device;
use creamery_data::Split;
use creamery_nn::{NnError, SuperNet};
use creamery_space::{Sampler, Space};
use creamery_train::engine::Plan;
use creamery_train::{ConfigError, Identity, RunData, TrainError};

use crate::config::SearchConfig;
use crate::fair::Fair;
use crate::judge::Judge;
use crate::method::Method;
use crate::parts::Parts;
use crate::prioritized::Prioritized;
use crate::progressive::Progressive;
use crate::sandwich::Sandwich;
use crate::select::{Pool, SelectorName};
use crate::strategy::Strategy;
use crate::trainer::Trainer;
use crate::uniform::Uniform;

/// A search before its first step.
pub(crate) struct Prepared {
    pub judge: Rc<Judge>,
    /// The paths within the budget.
    pub pool: Pool,
    pub plan: Plan,
    pub trainer: Trainer,
    pub strategy: Box<dyn Strategy>,
    pub selector: SelectorName,
    /// Whether the strategy keeps a board.
    pub board: bool,
}

/// What a search asks of its configuration before it makes anything.
struct Begun<'a> {
    method: Method,
    selector: SelectorName,
    validation: &'a Split,
    pool: Pool,
    device: Device,
}

impl<'a> Begun<'a> {
    fn new(config: &SearchConfig, space: &Space, data: &'a RunData) -> Result<Self, TrainError> {
        config.check()?;
        let method = Method::named(&config.method)?;
        method.check(space)?;
        Ok(Self {
            method,
            selector: config.select.selector(method.has_board())?,
            validation: held_out(data)?,
            device: data.ranks.device(&config.device)?,
            pool: Pool::new(
                space,
                data,
                &config.budget,
                config.select.seed.unwrap_or(config.seed),
            )
            .map_err(|error| match error {
                TrainError::Config(error) => {
                    ConfigError::Value(format!("`budget`: {error}")).into()
                }
                other => other,
            })?,
        })
    }
}

/// Refuses a search that could not begin: settings out of range, no images to choose by, fewer images than
/// a batch, an unknown device, a budget that nothing fits, a method or selector that does not suit. Trains nothing.
///
/// # Errors
/// Those that [`search`](crate::search()) would begin with.
pub fn check_start(config: &SearchConfig, space: &Space, data: &RunData) -> Result<(), TrainError> {
    let begun = Begun::new(config, space, data)?;
    plan(config, begun.method, space, data).check()?;
    Ok(check_parts(config, data)?)
}

fn check_parts(config: &SearchConfig, data: &RunData) -> Result<(), ConfigError> {
    let parts = Parts::new(config.paths_per_step, data.ranks);
    parts.check(config.train.batch, config.train.sync_norm)
}

fn plan(config: &SearchConfig, method: Method, space: &Space, data: &RunData) -> Plan {
    let mut identity = BTreeMap::from([
        ("task".into(), "search".into()),
        ("method".into(), config.method.clone()),
        ("space".into(), space.fingerprint()),
        ("data".into(), data.set.fingerprint()),
        ("resolution".into(), data.pipeline.resolution.to_string()),
        ("seed".into(), config.seed.to_string()),
        ("batch".into(), config.train.batch.to_string()),
        ("budget".into(), config.budget.budget().to_string()),
        ("buckets".into(), config.budget.buckets.to_string()),
    ]);
    if config.budget.budget().bounds_latency()
        && let Some(table) = space.latency_table()
    {
        identity.insert("latency table".into(), table.fingerprint());
    }
    if config.paths_per_step > 1 {
        let paths = config.paths_per_step.to_string();
        identity.insert("paths per step".into(), paths);
    }
    if method.has_phases() {
        identity.insert("epochs".into(), config.train.epochs.to_string());
    }
    let (data_settings, train) = (&config.data, &config.train);
    Plan::new(data, data_settings, train, config.seed, Identity(identity))
}

impl Prepared {
    pub fn new(config: &SearchConfig, space: &Space, data: &RunData) -> Result<Self, TrainError> {
        let Begun {
            method,
            selector,
            validation,
            pool,
            device,
        } = Begun::new(config, space, data)?;
        check_parts(config, data)?;
        let (channels, classes) = (data.set.channels, data.set.classes.len());
        let supernet = supernet(method, space, channels, classes, config.seed, &device)?;
        let sync_norm = config.train.sync_norm;
        (data.ranks).check_norm(sync_norm, &device, supernet.layers())?;
        let judge = Rc::new(Judge::new(
            data,
            validation,
            &config.cream,
            config.train.batch,
            config.data.workers,
            config.seed,
            &device,
        )?);
        let plan = plan(config, method, space, data);
        let schedule = config.train.schedule(plan.steps_per_epoch());
        let samplers = pool.samplers();
        let strategy = strategy(config, method, space, data, samplers, &judge, plan.steps())?;
        Ok(Self {
            trainer: Trainer::new(supernet, &config.train, schedule, config.seed).among(data.ranks),
            strategy,
            selector,
            board: method.has_board(),
            judge,
            pool,
            plan,
        })
    }
}

/// The supernet that a method trains.
fn supernet(
    method: Method,
    space: &Space,
    in_channels: usize,
    classes: usize,
    seed: u64,
    device: &Device,
) -> Result<SuperNet, NnError> {
    if method.is_elastic() {
        let transforms = method == Method::Ofa;
        return SuperNet::elastic(space, in_channels, classes, transforms, seed, device);
    }
    SuperNet::new(space, in_channels, classes, seed, device)
}

/// How a method trains it.
fn strategy(
    config: &SearchConfig,
    method: Method,
    space: &Space,
    data: &RunData,
    samplers: Vec<Sampler>,
    judge: &Rc<Judge>,
    steps: u64,
) -> Result<Box<dyn Strategy>, TrainError> {
    let resolution = data.pipeline.resolution;
    let largest = || space.largest(resolution).map_err(NnError::from);
    let elastic = &config.elastic;
    Ok(match method {
        Method::Cream | Method::CreamElastic => {
            let (cream, judge) = (&config.cream, Rc::clone(judge));
            let strategy = Prioritized::new(cream, samplers, judge, method.is_elastic());
            Box::new(strategy.with_paths(config.paths_per_step))
        }
        Method::Spos => Box::new(Uniform::new(samplers).with_paths(config.paths_per_step)),
        Method::Fairnas => Box::new(Fair::new(samplers, space.operations.len())),
        Method::Ofa => Box::new(Progressive::new(
            elastic,
            space,
            samplers,
            largest()?,
            steps,
        )),
        Method::Bignas => {
            let smallest = space.smallest(resolution).map_err(NnError::from)?;
            Box::new(Sandwich::new(elastic, samplers, largest()?, smallest))
        }
    })
}

/// The images to choose by.
fn held_out(data: &RunData) -> Result<&Split, ConfigError> {
    data.validation.as_ref().ok_or_else(|| {
        ConfigError::Value(
            "`data.validation` is 0, but a search needs held-out images to choose by: give a share such as 0.1".into(),
        )
    })
}
