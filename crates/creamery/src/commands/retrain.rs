//! `creamery retrain`: trains one network alone.

use std::path::{Path, PathBuf};

use creamery_data::DataSet;
use creamery_space::Architecture;
use creamery_train::event::Events;
use creamery_train::{
    Candidate, DataSettings, Init, Model, Outcome, RECIPES, Recipe, RetrainConfig, RetrainResult,
    RunData, merge, retrain,
};
use toml::{Table, Value};

use crate::answer::Answer;
use crate::arch::{self, ArchOptions, Found, Origin};
use crate::cli::Global;
use crate::commands::{note_skipped, stopped, time, validated, waiting, with_run};
use crate::error::CommandError;
use crate::interrupt;
use crate::model_file::{self, RunSettings};
use crate::overview::{Overview, exact};
use crate::ranks;
use crate::recorded::{Task, table};
use crate::run_args::RunArgs;
use crate::run_folder::{self, INHERITED, Previous, Start, TEACHER};
use crate::shell::quoted;

/// What `--init` takes, for its errors.
const INIT: &str = "--init takes scratch, inherit or a model";

const EXAMPLES: &str = "\
Examples:
  creamery retrain runs/cream-fashion-mini-1
      the winner of a search, on the data of the search
  creamery retrain runs/cream-fashion-mini-1/result.json --init inherit --epochs 5 --lr 0.02
      the same from its weights in the supernet
  creamery retrain runs/cream-fashion-mini-1 --data fashion-mnist --recipe fashion
      with settings that are known to serve; docs/recipes.md has them all
  creamery retrain cream-114 --data folder:pets --teacher runs/large --set train.optimizer=adamw
      a published network, on your images, taught by a network that knows them
  creamery retrain --init imported.safetensors --data folder:pets --lr 0.01
      fine-tunes a network that was imported, or any other model, on your images
  creamery retrain --resume --out runs/retrain-fashion-mini-1
      a run that was stopped or killed";

/// Train one network, and evaluate it on the test split
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run's folder, the result.json of a search or retraining, an architecture file, or a preset [default: the
    /// network of --init]
    #[arg(value_name = "ARCH", required_unless_present_any = ["resume", "init"])]
    arch: Option<String>,
    #[command(flatten)]
    of: ArchOptions,
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, value_name = "NAME", help = recipe_help())]
    recipe: Option<String>,
    /// Learning rate after warm-up
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// Where the weights come from: `scratch`, `inherit` for those that the network had in the run that it comes
    /// from, or a model's file or run, whose classifier is replaced if it has another number of classes
    #[arg(long, value_name = "HOW")]
    init: Option<String>,
    /// A trained model, or its run, that teaches beside the labels; see `distill` in docs/recipes.md
    #[arg(long, value_name = "MODEL")]
    teacher: Option<PathBuf>,
}

fn recipe_help() -> String {
    format!(
        "Settings that go together, under those given here: {}",
        RECIPES.join(", ")
    )
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let previous = Previous::open::<RetrainConfig>(&args.run.place, Task::Retrain, global.ranks)?;
    let found = args.architecture(previous.as_ref())?;
    let config = args.config(&found, previous.as_ref())?;
    config.check()?;
    if let Some(previous) = &previous
        && let Some(result) = previous.unchanged_result::<RetrainResult>(&config)?
    {
        global.note("this run is finished; its result:");
        return answer(&result, &found, previous.path());
    }
    let set = RunData::open(&config.data)?;
    note_skipped(&set.skipped, global);
    let data = RunData::prepare(
        set,
        &config.data,
        found.architecture.resolution,
        config.seed,
    )?;
    let inherited = args.inherited(&config, &found, previous.as_ref(), &data)?;
    if previous.is_none()
        && let Some(run) = run_of_weights(&config, &found)?
    {
        note_trained_on(&config, &run, global);
    }
    if let (Some(model), Init::File(_)) = (&inherited, &config.init) {
        note_classes(model, &data.set, global);
    }
    let begun = previous.as_ref().map(|previous| previous.file(TEACHER));
    let teacher = teacher(&config, begun)?;
    let start = match previous {
        Some(previous) => Start::GoOn(previous.into()),
        None => Start::New(run_folder::path(&args.run.place, "retrain", &data.set)),
    };
    let candidate = Candidate {
        space: &found.space,
        architecture: &found.architecture,
        inherited: inherited.as_ref(),
        teacher: teacher.as_ref(),
    };
    let (outcome, folder) = retrain_in(start, &config, &candidate, &data, global)?;
    match outcome {
        Outcome::Done(result) => answer(&result, &found, &folder),
        Outcome::Stopped { step } => {
            let resume = Task::Retrain.resume_command(&folder);
            let when = format!("before step {step}");
            Ok(stopped(&folder, &when, ("step", step), &resume))
        }
    }
}

/// Trains a network in a folder, which is returned with how it ended.
pub(crate) fn retrain_in(
    start: Start,
    config: &RetrainConfig,
    candidate: &Candidate<'_>,
    data: &RunData,
    global: &Global,
) -> Result<(Outcome<RetrainResult>, PathBuf), CommandError> {
    let ranks = global.ranks;
    let data = &RunData {
        ranks,
        ..data.clone()
    };
    ranks::check_training(ranks, &table(config), data.set.fingerprint())?;
    let place = start.workplace(config, candidate.space, &data.set, ranks)?;
    if !place.is_furnished() {
        let run = &place.run;
        run.write_json("architecture.json", candidate.architecture)?;
        let models = [
            (candidate.inherited, INHERITED),
            (candidate.teacher, TEACHER),
        ];
        for (model, name) in models {
            if let Some(model) = model.filter(|_| run.is_writer()) {
                model.save(&run.file(name))?;
            }
        }
        place.furnish(candidate.space)?;
    }
    let stop = interrupt::stop_flag()?;
    let mut events = Events::default();
    interrupt::watch(&mut events, "retrain", &place.run, global);
    let outcome = retrain(config, candidate, data, &place.run, &mut events, stop);
    drop(events);
    // What rank 0 has written is there for all.
    ranks.barrier();
    let outcome = place.conclude(outcome.map_err(CommandError::from))?;
    Ok((outcome, place.run.path().to_owned()))
}

impl Args {
    /// The network that ARCH names, or that the run to go on with has.
    fn architecture(&self, previous: Option<&Previous>) -> Result<Found, CommandError> {
        let named = match &self.arch {
            Some(name) => Some(arch::find(name, &self.of)),
            None => self.init_file().map(|model| of_model(&model)),
        };
        let begun = previous.and_then(|previous| Some((previous, previous.space.clone()?)));
        let Some((previous, space)) = begun else {
            return named.unwrap_or_else(|| {
                Err(CommandError::Usage(match previous {
                    Some(_) => "this run was killed before its first step: name its network, ARCH, once more".into(),
                    None => format!(
                        "--init {} does not say which network to train: name it, ARCH",
                        self.init.as_deref().unwrap_or_default()
                    ),
                }))
            });
        };
        let path = previous.file("architecture.json");
        let architecture: Architecture = arch::parse(&path, &arch::read(&path)?)?;
        if let Some(named) = named.transpose()?
            && named.architecture != architecture
        {
            return Err(CommandError::Usage(format!(
                "`{}` trains {architecture}, not {}: leave ARCH out to go on with it, or start a new run with another --out",
                previous.path().display(),
                named.architecture
            )));
        }
        Ok(Found {
            architecture,
            space,
            preset: None,
            origin: None,
        })
    }

    /// The model that `--init` names, if it does.
    fn init_file(&self) -> Option<PathBuf> {
        let init = Init::from(self.init.clone()?);
        init.file().map(Path::to_owned)
    }

    /// Flags, `--set` and file over what the run to go on with has, or else over what the space
    /// recommends and the search did with the same data.
    fn config(
        &self,
        found: &Found,
        previous: Option<&Previous>,
    ) -> Result<RetrainConfig, CommandError> {
        let flags = self.run.flags(vec![
            ("train.lr", self.lr.map(Value::Float)),
            ("init", self.init.clone().map(Value::String)),
            (
                "distill.teacher",
                (self.teacher.as_ref()).map(|path| Value::String(path.display().to_string())),
            ),
        ]);
        let recipe = match &self.recipe {
            Some(name) => Recipe::named(name)?.settings,
            None => Table::new(),
        };
        let resolve = |mut defaults| {
            merge(&mut defaults, recipe.clone());
            self.run.place.resolve(defaults, flags.clone())
        };
        if let Some(previous) = previous {
            return Ok(resolve(previous.config.clone())?);
        }
        let after = |data: Option<&DataSettings>| match data {
            Some(data) => RetrainConfig::after_search(&found.space, data, resolve),
            None => resolve(RetrainConfig::defaults(&found.space)),
        };
        let data = found.origin.as_ref().map(data_of).transpose()?;
        let config = after(data.as_ref())?;
        let Some(run) = run_of_weights(&config, found)? else {
            return Ok(config);
        };
        // What the weights were trained on cannot be held out: it would flatter them.
        let data = data.filter(|data| data.source == config.data.source);
        Ok(after(Some(&DataSettings {
            source: config.data.source,
            split_seed: Some(run.split_seed()),
            ..data.unwrap_or_default()
        }))?)
    }

    /// The network with the weights that it had in the run that it comes from, if it is to start so.
    fn inherited(
        &self,
        config: &RetrainConfig,
        found: &Found,
        previous: Option<&Previous>,
        data: &RunData,
    ) -> Result<Option<Model>, CommandError> {
        let begun = previous.map(|previous| previous.file(INHERITED));
        let weights = match (&config.init, begun, &found.origin) {
            (Init::Inherit, _, Some(origin)) => origin.weights.clone(),
            (Init::Inherit, Some(begun), None) => begun,
            (Init::File(_), Some(begun), _) if begun.is_file() => begun,
            (Init::File(path), ..) => model_meant(INIT, path)?,
            _ => return Ok(None),
        };
        let model = Model::load(&weights, &creamery_nn::device(&config.device)?)?;
        if let Init::File(_) = config.init {
            return Ok(Some(model));
        }
        if model.net.architecture != found.architecture {
            return Err(CommandError::Usage(format!(
                "`{}` holds the weights of {}, not of {}: train it with --init scratch",
                weights.display(),
                model.net.architecture,
                found.architecture
            )));
        }
        model.input.check(&data.set)?;
        Ok(Some(model))
    }
}

/// The settings of the run that made the weights to start from, if it had the same images.
fn run_of_weights(
    config: &RetrainConfig,
    found: &Found,
) -> Result<Option<RunSettings>, CommandError> {
    let folder = match (&config.init, &found.origin) {
        (Init::Inherit, Some(origin)) => origin.folder.clone(),
        (Init::File(path), _) => model_meant(INIT, path)?.with_file_name(""),
        _ => return Ok(None),
    };
    let run = RunSettings::of(&folder)?;
    Ok(run.filter(|run| run.data.source == config.data.source))
}

/// Tells if images that are held out here were trained on where the weights come from.
fn note_trained_on(config: &RetrainConfig, run: &RunSettings, global: &Global) {
    let (share, before) = (config.data.validation, run.data.validation);
    let same = config.data.split_seed.unwrap_or(config.seed) == run.split_seed();
    if share > 0.0 && (share > before || !same) {
        let mend = match before {
            0.0 => "--set data.validation=0, or --init scratch".to_owned(),
            _ => format!(
                "--set data.validation={before} --set data.split_seed={}",
                run.split_seed()
            ),
        };
        global.note(&format!(
            "the weights to start from were trained on some of the images held out here, whose accuracy flatters them: {mend}"
        ));
    }
}

/// The network that teaches, if one does: `begun`, the copy of a run that was begun, or else the model that is named.
pub(crate) fn teacher(
    config: &RetrainConfig,
    begun: Option<PathBuf>,
) -> Result<Option<Model>, CommandError> {
    let Some(named) = &config.distill.teacher else {
        return Ok(None);
    };
    let path = match begun.filter(|path| path.is_file()) {
        Some(path) => path,
        None => model_meant("--teacher takes a model", named)?,
    };
    let device = creamery_nn::device(&config.device)?;
    Ok(Some(Model::load(&path, &device)?))
}

/// The network of a model, without its weights.
fn of_model(path: &Path) -> Result<Found, CommandError> {
    let model = Model::load(&model_meant(INIT, path)?, &creamery_nn::device("cpu")?)?;
    Ok(Found {
        architecture: model.net.architecture,
        space: model.space,
        preset: None,
        origin: None,
    })
}

/// The file of the model that a flag names.
fn model_meant(flag: &str, name: &Path) -> Result<PathBuf, CommandError> {
    model_file::find(&name.display().to_string()).map_err(|error| match error {
        CommandError::Usage(message) => CommandError::Usage(format!("{flag}; {message}")),
        other => other,
    })
}

/// Tells what becomes of a model's classifier on other data.
fn note_classes(model: &Model, set: &DataSet, global: &Global) {
    let (from, to) = (&model.input.classes, &set.classes);
    if from.len() != to.len() {
        global.note(&format!(
            "the classifier begins afresh: the model tells {} classes apart, {} has {}",
            from.len(),
            set.name,
            to.len()
        ));
    } else if from != to {
        global.note(&format!(
            "the classes of {} have other names than the model's; its classifier is kept",
            set.name
        ));
    }
}

/// How the run that a network comes from treats its data.
fn data_of(origin: &Origin) -> Result<DataSettings, CommandError> {
    Ok(match RunSettings::of(&origin.folder)? {
        Some(settings) => settings.data,
        None => DataSettings {
            source: origin.dataset.clone(),
            ..DataSettings::default()
        },
    })
}

fn answer(result: &RetrainResult, found: &Found, folder: &Path) -> Result<Answer, CommandError> {
    let mut overview = Overview::default();
    overview
        .network(&found.space, &result.architecture)?
        .cost(&result.cost, &found.space);
    let test = format!(
        "on the {} test images of {}",
        exact(result.test_images as u64),
        result.dataset
    );
    overview.row("top-1", format!("{:.2}% {test}", result.top1));
    overview.row("top-5", format!("{:.2}%", result.top5));
    if let Some(raw) = &result.raw {
        overview.row(
            "raw weights",
            format!("top-1 {:.2}%, without the moving average", raw.top1),
        );
    }
    if let Some(validation) = &result.validation {
        overview.row("validation", validated(validation));
    }
    if let Some(best) = &result.best {
        overview.row(
            "best epoch",
            format!(
                "{} of {}, validation {:.2}%",
                best.epoch + 1,
                result.epochs,
                best.top1
            ),
        );
    }
    overview.row("time", time(&result.timing));
    if let Some(waiting) = waiting(&result.timing) {
        overview.row("", waiting);
    }
    overview
        .row(
            "weights",
            folder.join(&result.weights).display().to_string(),
        )
        .row("result", folder.join("result.json").display().to_string())
        .row("next", format!("creamery eval {}", quoted(folder)));
    Ok(Answer::done(overview.to_string(), with_run(result, folder)))
}
