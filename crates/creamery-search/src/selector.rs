//! The selector of Cream: the prioritized paths themselves.

use std::rc::Rc;

use creamery_train::TrainError;
use creamery_train::event::Events;

use crate::judge::Judge;
use crate::strategy::{Selector, Strategy, Winner};
use crate::trainer::Trainer;

/// Scores every path on the boards on the whole validation split; the best of each bucket wins.
pub struct BoardSelector {
    /// Scores the paths.
    pub judge: Rc<Judge>,
}

impl Selector for BoardSelector {
    fn select(
        &mut self,
        strategy: &dyn Strategy,
        trainer: &Trainer,
        _events: &mut Events,
    ) -> Result<Vec<Winner>, TrainError> {
        let mut winners: Vec<Winner> = Vec::new();
        for row in strategy.board() {
            let path = trainer.supernet.path(&row.architecture)?;
            let (validation, net) = self.judge.validate(path)?;
            let candidate = Winner {
                architecture: row.architecture,
                cost: row.cost,
                validation,
                net,
                bucket: row.bucket,
            };
            match winners.iter_mut().find(|w| w.bucket == candidate.bucket) {
                None => winners.push(candidate),
                Some(winner) => {
                    let better = candidate.validation.top1 > winner.validation.top1
                        || (candidate.validation.top1 == winner.validation.top1
                            && candidate.cost.macs < winner.cost.macs);
                    if better {
                        *winner = candidate;
                    }
                }
            }
        }
        winners.sort_by_key(|w| w.bucket);
        Ok(winners)
    }
}
