//! A trained supernet, opened from the folder of its run.

use std::path::Path;
use std::rc::Rc;

use creamery_nn::{NnError, Subnet, SuperNet};
use creamery_space::{Architecture, Space, SpaceError};
use creamery_train::event::{Accuracy, BoardRow};
use creamery_train::{
    Checkpoint, ConfigError, Layers, Ranks, RunData, RunError, TrainError, engine,
};
use toml::Table;

use crate::config::SearchConfig;
use crate::judge::Judge;
use crate::prepared::Prepared;

/// A supernet as its search left it, finished or not, with all that judging its paths needs.
///
/// ```no_run
/// use creamery_search::Trained;
/// use std::path::Path;
///
/// let folder = Path::new("runs/cream-fashion-mini-1");
/// let trained = Trained::open(folder, Trained::config(folder)?)?;
/// let smallest = trained.space.smallest(28)?;
/// let (accuracy, _net) = trained.validate(&smallest)?;
/// println!("{:.1}% after {} steps", accuracy.top1, trained.step);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trained {
    /// The run's configuration.
    pub config: SearchConfig,
    /// The run's space.
    pub space: Space,
    /// The run's images, the same of them held out.
    pub data: RunData,
    /// The supernet.
    pub supernet: SuperNet,
    /// Calibrates and scores paths, by the same images as the search.
    pub judge: Rc<Judge>,
    /// Training steps that were done.
    pub step: u64,
    /// The prioritized paths, best first, bucket by bucket; `None` for a strategy without a board.
    pub board: Option<Vec<BoardRow>>,
}

impl Trained {
    /// Reads the configuration of the search in `folder`.
    ///
    /// # Errors
    /// If the folder holds no search, or its run.toml is damaged.
    pub fn config(folder: &Path) -> Result<SearchConfig, TrainError> {
        let file = folder.join("run.toml");
        let none = |what: &str| {
            ConfigError::Value(format!(
                "`{}` holds {what}: name the folder of a search, such as runs/cream-fashion-mini-1",
                folder.display()
            ))
        };
        if !file.is_file() {
            return Err(none("no run (no run.toml)").into());
        }
        let layers = || Layers {
            file: Some(&file),
            ..Layers::default()
        };
        // Of all runs only searches have a method.
        if !layers().resolve::<Table>()?.contains_key("method") {
            return Err(none("no search").into());
        }
        Ok(layers().resolve()?)
    }

    /// Opens the supernet of the search in `folder`. `config` is the run's own; only where the images lie
    /// and what computes may be others.
    ///
    /// # Errors
    /// If the run has no checkpoint yet, the images are not the run's, or something is damaged.
    pub fn open(folder: &Path, config: SearchConfig) -> Result<Self, TrainError> {
        Self::open_among(Ranks::default(), folder, config)
    }

    /// [`open`](Self::open) by one of several ranks, which share out the evaluations of its paths.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_among(
        ranks: Ranks,
        folder: &Path,
        config: SearchConfig,
    ) -> Result<Self, TrainError> {
        let path = engine::checkpoint_path(folder);
        if !path.exists() {
            return Err(ConfigError::Value(format!(
                "`{}` has no checkpoint yet: let its search train first (creamery search --resume --out ..)",
                folder.display()
            ))
            .into());
        }
        let mut checkpoint = Checkpoint::load(&path)?;
        let space = space(folder)?;
        let set = RunData::open(&config.data)?;
        let resolution = config.resolution_on(&space, &set);
        let data = RunData {
            ranks,
            ..RunData::prepare(set, &config.data, resolution, config.seed)?
        };
        let Prepared {
            judge,
            plan,
            mut trainer,
            mut strategy,
            board,
            ..
        } = Prepared::new(&config, &space, &data)?;
        plan.identity.check(&checkpoint.get("identity")?)?;
        trainer.load(&mut checkpoint)?;
        strategy.load(&mut checkpoint)?;
        Ok(Self {
            step: engine::position(&checkpoint)?.step,
            board: board.then(|| strategy.board()),
            supernet: trainer.supernet,
            config,
            space,
            data,
            judge,
        })
    }

    /// A path with the supernet's weights, which it shares.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn path(&self, architecture: &Architecture) -> Result<Subnet, TrainError> {
        Ok(self.supernet.path(architecture)?)
    }

    /// Accuracy of a path on all images that were held out, its batch norms calibrated; and the path.
    ///
    /// # Errors
    /// If the architecture is not one of the space, or images cannot be read.
    pub fn validate(&self, architecture: &Architecture) -> Result<(Accuracy, Subnet), TrainError> {
        self.judge.validate(self.path(architecture)?)
    }

    /// The accuracies of [`validate`](Self::validate) of some paths, which the ranks share out.
    ///
    /// # Errors
    /// As for [`validate`](Self::validate).
    pub fn validate_each(&self, paths: &[Architecture]) -> Result<Vec<Accuracy>, TrainError> {
        // As bits, because a loss need not be a number, and JSON knows nothing else.
        let accuracies = self.data.ranks.share_out(paths.len(), |index| {
            let accuracy = self.judge.validate_alone(self.path(&paths[index])?)?;
            let values = [accuracy.top1, accuracy.top5, accuracy.loss];
            Ok::<_, TrainError>((values.map(f64::to_bits), accuracy.images))
        })?;
        let accuracy = |(bits, images): ([u64; 3], usize)| {
            let [top1, top5, loss] = bits.map(f64::from_bits);
            Accuracy {
                top1,
                top5,
                loss,
                images,
            }
        };
        Ok(accuracies.into_iter().map(accuracy).collect())
    }
}

/// The space that a run's folder keeps, with the latency table that it may keep, too.
fn space(folder: &Path) -> Result<Space, TrainError> {
    let path = folder.join("space.toml");
    let text = std::fs::read_to_string(&path).map_err(|source| RunError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let space = Space::from_toml(&text, &path.display().to_string()).map_err(NnError::from)?;
    let table = folder.join("latency.json");
    if !table.exists() {
        return Ok(space);
    }
    let space = space.with_latency_file(&table).map_err(SpaceError::from);
    Ok(space.map_err(NnError::from)?)
}
