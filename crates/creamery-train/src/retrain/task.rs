//! The training of one network as the engine sees it.

use burn::tensor::Device;
use creamery_data::{Batch, Mixed, Pipeline, Split};
use creamery_nn::Subnet;
use serde::{Deserialize, Serialize};

use super::result::BestEpoch;
use super::share::{Share, Targets};
use super::teacher::Teacher;
use super::{Keep, RetrainConfig, finite};
use crate::collective::{Ranks, mean_gradients};
use crate::engine::{Position, StepReport, Task, Validation};
use crate::eval::{Answers, evaluate_across};
use crate::event::{Accuracy, Events};
use crate::model::{Model, ModelInput};
use crate::optim::{Ema, Optimizer, Update};
use crate::{Checkpoint, Confusion, RunFolder, Schedule, TrainError};

/// The network that did best, in the run's folder.
pub(super) const BEST: &str = "best.safetensors";

pub(super) struct Retraining<'a> {
    pub config: &'a RetrainConfig,
    pub space: &'a creamery_space::Space,
    pub input: &'a ModelInput,
    pub schedule: Schedule,
    pub net: Subnet,
    pub optimizer: Optimizer,
    pub ema: Option<Ema>,
    pub teacher: Option<Teacher<'a>>,
    pub macs: u64,
    pub validation: Option<&'a Split>,
    pub pipeline: &'a Pipeline,
    pub run: &'a RunFolder,
    pub ranks: Ranks,
    pub standing: Standing,
    pub device: Device,
}

/// How the training stands after its last epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Epochs that have ended.
    pub epochs: u64,
    pub best: Option<BestEpoch>,
}

impl Retraining<'_> {
    /// The network as it stands: the moving average where there is one.
    fn current(&self) -> &Subnet {
        self.ema.as_ref().map_or(&self.net, Ema::network)
    }

    fn model(&self, net: Subnet) -> Model {
        Model {
            net,
            space: self.space.clone(),
            input: self.input.clone(),
        }
    }

    /// The network that is handed out when all epochs are done.
    pub fn result(&self) -> Result<Model, TrainError> {
        if self.config.keep == Keep::Best && self.standing.best.is_some() {
            // Rank 0 has written it.
            self.ranks.barrier();
            return Model::load(&self.run.file(BEST), &self.device);
        }
        Ok(self.model(self.current().clone()))
    }

    /// The weights as they are trained, where others are handed out.
    pub fn raw(&self) -> Option<&Subnet> {
        self.ema.as_ref().map(|_| &self.net)
    }

    pub fn accuracy(&self, net: &Subnet, split: &Split) -> Result<Accuracy, TrainError> {
        Ok(self.answers(net, split)?.accuracy)
    }

    /// The accuracy of a network on a split, and which classes it takes for which.
    pub fn confusion(
        &self,
        net: &Subnet,
        split: &Split,
    ) -> Result<(Accuracy, Confusion), TrainError> {
        let Answers { accuracy, choices } = self.answers(net, split)?;
        let mut confusion = Confusion::new(&self.input.classes);
        for (label, choice) in choices {
            confusion.add(label, choice);
        }
        Ok((accuracy, confusion))
    }

    fn answers(&self, net: &Subnet, split: &Split) -> Result<Answers, TrainError> {
        let (batch, workers) = (self.config.train.batch, self.config.data.workers);
        let (ranks, pipeline) = (self.ranks, self.pipeline);
        evaluate_across(ranks, net, split, pipeline, batch, workers, &self.device)
    }

    /// Mixes the batch of a step, if it is to be mixed.
    fn mixed(&self, batch: &Batch, step: u64) -> Option<(Batch, Mixed)> {
        let mix = self.config.mix;
        if !mix.is_on() {
            return None;
        }
        let mut batch = batch.clone();
        let mut rng = creamery_rng::stream(self.config.seed, "mix", step);
        let mixed = mix.apply(&mut batch, &mut rng)?;
        Some((batch, mixed))
    }
}

impl Task for Retraining<'_> {
    fn name(&self) -> &'static str {
        "retrain"
    }

    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        _events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        let settings = &self.config.train;
        let lr = self.schedule.lr(at.step);
        let mixed = self.mixed(batch, at.step);
        let (batch, mixed) = match &mixed {
            Some((batch, mixed)) => (batch, Some(mixed)),
            None => (batch, None),
        };
        let targets = Targets {
            classes: self.net.classes(),
            smoothing: settings.label_smoothing,
            mixed,
        };
        let ranks = self.ranks;
        let norm = ranks.norm(settings.sync_norm);
        let at_once = self.config.accumulate == 1;
        let mut update: Option<Update> = None;
        let (mut loss, mut correct) = (0.0, 0);
        for share in Share::of(batch, ranks.portion(settings.batch), self.config.accumulate) {
            let drops = share.drops(&self.net, self.config, at.step, &self.device);
            let images = share.images(&self.device);
            let wanted = self
                .teacher
                .as_ref()
                .map(|teacher| teacher.ask(images.clone()));
            let tracked = self.net.tracked();
            let output = tracked.net().forward_dropping(images, norm, drops);
            let right = creamery_nn::loss::correct(&output.logits, share.labels(), 1);
            let own = targets.loss(output.logits.clone(), &share, &self.device);
            let whole = match (&self.teacher, wanted) {
                (Some(teacher), Some(wanted)) => teacher.join(own, output.logits, wanted),
                _ => own,
            } * share.weight();
            let value = f64::from(whole.clone().into_scalar::<f32>());
            finite("loss", value, at.step, lr)?;
            let mut stats: Vec<_> = output.stats.into_iter().map(Vec::from_iter).collect();
            // Only what no other share adds to can be summed while it is found.
            let with = if at_once { ranks } else { Ranks::default() };
            let mut scalars = [value / with.size() as f64, right as f64];
            let seen = stats.iter_mut().flatten();
            let gradients = mean_gradients(with, &tracked, &whole, seen, &mut scalars);
            loss += scalars[0];
            correct += scalars[1] as usize;
            match &mut update {
                Some(update) => update.join(gradients, stats),
                None => {
                    update = Some(Update {
                        gradients,
                        stats,
                        step: at.step,
                        lr,
                    });
                }
            }
            // Whatever shares the weights is gone before they are updated, which is then done in place.
            drop(tracked);
        }
        let mut update = update.expect("a batch has at least one share");
        if !at_once {
            let mut scalars = [loss / ranks.size() as f64, correct as f64];
            update.share(ranks, &mut scalars);
            (loss, correct) = (scalars[0], scalars[1] as usize);
        }
        let layers = self.net.layers_mut();
        let grad_norm = update.apply(layers, &mut self.optimizer, settings)?;
        if let Some(ema) = &mut self.ema {
            ema.update(&self.net);
        }
        Ok(StepReport {
            loss,
            correct,
            lr,
            grad_norm,
            macs: self.macs,
            teacher: None,
        })
    }

    fn end_epoch(&mut self, at: Position, _events: &mut Events) -> Result<Validation, TrainError> {
        self.standing.epochs = at.epoch;
        let Some(split) = self.validation else {
            return Ok(Validation::default());
        };
        let accuracy = self.accuracy(self.current(), split)?;
        let raw = self
            .raw()
            .map(|net| self.accuracy(net, split))
            .transpose()?;
        if (self.standing.best).is_none_or(|best| accuracy.top1 > best.top1) {
            self.standing.best = Some(BestEpoch {
                epoch: at.epoch - 1,
                top1: accuracy.top1,
            });
            let best = self.model(self.current().clone());
            if self.run.is_writer() {
                best.save(&self.run.file(BEST))?;
            }
        }
        Ok(Validation {
            accuracy: Some(accuracy),
            raw,
        })
    }

    fn is_done(&self) -> bool {
        let Standing { epochs, best } = self.standing;
        let without = best.map_or(0, |best| epochs - 1 - best.epoch);
        self.config.patience > 0 && without >= self.config.patience
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put("standing", &self.standing);
        checkpoint.put_tensors("net", self.net.state());
        checkpoint.put_tensors("optimizer", self.optimizer.state());
        if let Some(ema) = &self.ema {
            checkpoint.put("ema", &ema.updates());
            checkpoint.put_tensors("ema", ema.network().state());
        }
    }

    fn load(&mut self, checkpoint: &mut Checkpoint) -> Result<(), TrainError> {
        self.standing = checkpoint.get("standing")?;
        self.net
            .load(checkpoint.take_tensors("net"), &self.device)?;
        self.optimizer
            .load(checkpoint.take_tensors("optimizer"), &self.device)?;
        if self.ema.is_some() {
            let mut average = self.net.clone();
            average.load(checkpoint.take_tensors("ema"), &self.device)?;
            self.ema = Some(Ema::new(&average, self.config.ema, checkpoint.get("ema")?));
        }
        Ok(())
    }
}
