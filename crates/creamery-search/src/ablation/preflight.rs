//! What can be known of a table before anything is trained.

use std::collections::BTreeMap;

use creamery_data::{DataSet, OpenOptions};
use creamery_nn::NnError;
use creamery_train::{ConfigError, DataSettings, Init, ModelInput, RunData, TrainError};

use super::plan::{Ablation, Settings, in_row};
use crate::prepared::check_start;

/// The data sets of a table, each opened once.
#[derive(Debug, Default)]
pub struct DataSets(Vec<Opened>);

/// A data set that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The data set.
    pub set: DataSet,
    /// What tells its images from others.
    pub fingerprint: String,
    options: OpenOptions,
}

impl DataSets {
    /// The data set that the settings ask for, opened if it was not yet.
    ///
    /// # Errors
    /// If it is unknown, missing or damaged.
    pub fn open(&mut self, settings: &DataSettings) -> Result<&Opened, TrainError> {
        let asked = |opened: &Opened| {
            opened.set.name == settings.source && opened.options == settings.options()
        };
        let place = match self.0.iter().position(asked) {
            Some(place) => place,
            None => {
                let set = RunData::open(settings)?;
                self.0.push(Opened {
                    fingerprint: set.fingerprint(),
                    set,
                    options: settings.options(),
                });
                self.0.len() - 1
            }
        };
        Ok(&self.0[place])
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Opened> {
        self.0.iter()
    }
}

impl Ablation {
    /// Opens the data sets of all rows and refuses rows whose search or retraining could not begin:
    /// nothing fits the budget, no images are held out, the images do not fill a batch, the space has no
    /// such resolution, the device is unknown. Trains and writes nothing.
    ///
    /// # Errors
    /// [`TrainError`], with the row's name where it is the row that is wrong.
    pub fn preflight(&self) -> Result<DataSets, TrainError> {
        let mut preflight = Preflight {
            // How many images are held out does not depend on the seed, nor does anything else here.
            seed: self.seeds[0],
            sets: DataSets::default(),
            prepared: BTreeMap::new(),
        };
        for row in &self.rows {
            let within = |part: &'static str| {
                move |error: TrainError| match error.is_usage() {
                    true => in_row(&row.name, &format!("{part}: {error}")).into(),
                    false => error,
                }
            };
            let data = preflight.search(&row.settings).map_err(within("search"))?;
            preflight
                .retrain(&row.settings, &data)
                .map_err(within("retrain"))?;
        }
        Ok(preflight.sets)
    }
}

struct Preflight {
    seed: u64,
    sets: DataSets,
    /// Rows mostly share their data.
    prepared: BTreeMap<String, RunData>,
}

impl Preflight {
    fn data(&mut self, settings: &DataSettings, resolution: usize) -> Result<RunData, TrainError> {
        let key = format!("{settings:?} {resolution}");
        if let Some(data) = self.prepared.get(&key) {
            return Ok(data.clone());
        }
        let set = self.sets.open(settings)?.set.clone();
        let data = RunData::prepare(set, settings, resolution, self.seed)?;
        self.prepared.insert(key, data.clone());
        Ok(data)
    }

    fn search(&mut self, settings: &Settings) -> Result<RunData, TrainError> {
        let (config, space) = (settings.search(self.seed), &settings.space);
        let set = &self.sets.open(&config.data)?.set;
        let resolution = config.resolution_on(space, set);
        space.smallest(resolution).map_err(NnError::from)?;
        let data = self.data(&config.data, resolution)?;
        check_start(&config, space, &data)?;
        Ok(data)
    }

    fn retrain(&mut self, settings: &Settings, search: &RunData) -> Result<(), TrainError> {
        let Some(config) = settings.retrain(self.seed) else {
            return Ok(());
        };
        let data = self.data(&config.data, search.pipeline.resolution)?;
        config.check_start(&data)?;
        match &config.init {
            Init::Scratch => Ok(()),
            Init::Inherit => Ok(ModelInput::of(search).check(&data.set)?),
            Init::File(path) => Err(ConfigError::Value(format!(
                "`retrain.init` is `{}`, but no file has the weights of networks that are yet to be found: write scratch or inherit",
                path.display()
            ))
            .into()),
        }
    }
}
