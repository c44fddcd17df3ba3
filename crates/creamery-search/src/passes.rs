//! Steps that train several paths: gradients add up, and one update follows.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use creamery_data::Batch;
use creamery_nn::{Gathered, Subnet, loss};
use creamery_train::TrainError;
use creamery_train::engine::StepReport;

use crate::meta::Examples;
use crate::trainer::Trainer;

/// The passes of one step, and what they add up to.
pub(crate) struct Passes<'a> {
    batch: &'a Batch,
    step: u64,
    gathered: Gathered,
    count: usize,
    loss: f64,
    correct: usize,
    macs: u64,
}

/// What one pass yields.
pub(crate) struct Passed {
    /// The path's softmax outputs, `[n, classes]`, outside of any graph.
    pub outputs: Tensor<2>,
    /// One flat gradient for each layer of the path.
    pub gradients: Vec<Tensor<1>>,
    /// The loss.
    pub loss: f64,
    /// Images whose first choice was right.
    pub correct: usize,
}

impl<'a> Passes<'a> {
    /// No pass yet.
    pub fn new(batch: &'a Batch, step: u64) -> Self {
        Self {
            batch,
            step,
            gathered: Gathered::default(),
            count: 0,
            loss: 0.0,
            correct: 0,
            macs: 0,
        }
    }

    /// Runs a path forward and back and adds its gradients. `mask` is that of dropout.
    ///
    /// # Errors
    /// If the loss is not finite, or the path not one of the space.
    pub fn run(
        &mut self,
        trainer: &Trainer,
        path: &Subnet,
        examples: Examples,
        mask: Option<Tensor<2>>,
    ) -> Result<Passed, TrainError> {
        let pass = trainer.forward(path, examples, mask);
        let logits = pass.output.logits.clone().inner();
        let stats = pass.output.stats.clone();
        let (loss, gradients) = trainer.gradients(pass, self.step)?;
        let supernet = &trainer.supernet;
        supernet.gather(&mut self.gathered, path, gradients.clone(), stats);
        let correct = loss::correct(&logits, &self.batch.labels, 1);
        self.count += 1;
        self.loss += loss;
        self.correct += correct;
        self.macs += trainer.cost(&path.architecture)?.macs;
        Ok(Passed {
            outputs: softmax(logits, 1),
            gradients,
            loss,
            correct,
        })
    }

    /// Updates the supernet by the sum of the gradients, and reports the means over the passes.
    ///
    /// Weights are updated in place if no path shares them any more.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the supernet is then unchanged.
    pub fn update(self, trainer: &mut Trainer) -> Result<StepReport, TrainError> {
        let grad_norm = trainer.update(self.gathered, self.step)?;
        let count = self.count.max(1);
        Ok(StepReport {
            loss: self.loss / count as f64,
            correct: (self.correct as f64 / count as f64).round() as usize,
            lr: trainer.lr(self.step),
            grad_norm,
            macs: self.macs / count as u64,
            teacher: None,
        })
    }
}
