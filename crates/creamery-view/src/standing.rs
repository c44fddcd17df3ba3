//! Where a run stands, from the events so far.

use std::time::Duration;

use creamery_train::event::{Accuracy, BoardRow, Event};

use crate::numbers::{duration, rounded_count};

/// Where a run stands. Pure: time comes from outside, text goes out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    epochs: u64,
    steps_per_epoch: u64,
    batch: usize,
    /// The step at which this process took the run up.
    resumed_at: u64,
    /// Steps done, those of earlier processes included.
    pub steps: u64,
    loss: Option<f64>,
    lr: f64,
    best: Option<(f64, u64)>,
    /// The selection that follows the training, once it has begun.
    selection: Option<Selection>,
}

/// How far a selection is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Selection {
    done: usize,
    of: usize,
    /// Evaluations of earlier processes.
    known: usize,
}

impl Standing {
    /// Takes an event in.
    pub fn update(&mut self, event: &Event) {
        match event {
            Event::Started {
                epochs,
                steps_per_epoch,
                batch,
                step,
                ..
            } => {
                *self = Self {
                    epochs: *epochs,
                    steps_per_epoch: *steps_per_epoch,
                    batch: *batch,
                    resumed_at: *step,
                    steps: *step,
                    ..Self::default()
                }
            }
            Event::Step { step, loss, lr, .. } => {
                self.steps = step + 1;
                self.lr = *lr;
                // Single batches jump; a tenth of the new one keeps the number readable.
                let mean = self.loss.map_or(*loss, |mean| 0.9 * mean + 0.1 * loss);
                self.loss = Some(mean);
            }
            Event::Board { board, .. } => {
                let score = |row: &&BoardRow| row.score;
                let best = board.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
                self.best = best.map(|row| (row.score, row.cost.macs));
            }
            Event::Evaluated {
                cost,
                top1,
                done,
                of,
                known,
                ..
            } => {
                // What the board said of other images and weights is no measure of these.
                let before = self.best.filter(|_| self.selection.is_some());
                if before.is_none_or(|(best, _)| *top1 > best) {
                    self.best = Some((*top1, cost.macs));
                }
                let (done, of) = (*done, *of);
                // They come before all others.
                let known = match known {
                    true => done,
                    false => self.selection.map_or(0, |selection| selection.known),
                };
                self.selection = Some(Selection { done, of, known });
            }
            _ => {}
        }
    }

    /// Steps of the whole run.
    pub fn all_steps(&self) -> u64 {
        self.epochs * self.steps_per_epoch
    }

    /// How much is done and how much there is, in steps of the training or evaluations of the selection.
    pub fn part(&self) -> (u64, u64) {
        match self.selection {
            Some(Selection { done, of, .. }) => (done as u64, of as u64),
            None => (self.steps, self.all_steps()),
        }
    }

    /// The line of an evaluation that completes a tenth of a selection; nothing for others, and for
    /// selections so short that each would.
    pub fn selection_line(&self, elapsed: Duration) -> Option<String> {
        let Selection { done, of, .. } = self.selection?;
        let tenths = |done: usize| done * 10 / of.max(1);
        let tenth = of > 10 && tenths(done) > tenths(done.saturating_sub(1));
        tenth.then(|| self.message(elapsed))
    }

    /// What stands beside the bar, `elapsed` after this process took the run up or began to select.
    pub fn message(&self, elapsed: Duration) -> String {
        if let Some(Selection { done, of, .. }) = self.selection {
            let mut parts = vec![format!("evaluated {done}/{of}")];
            parts.extend(self.best());
            parts.extend(self.left(elapsed));
            return parts.join("  ");
        }
        let mut parts = vec![self.epoch()];
        if let Some(loss) = self.loss {
            parts.push(self.pace(elapsed));
            parts.push(format!("loss {loss:.3}"));
            parts.push(format!("lr {}", short_rate(self.lr)));
        }
        parts.extend(self.best());
        parts.extend(self.left(elapsed));
        parts.join("  ")
    }

    /// What stands above curves that tell the rest: as [`message`](Self::message), less what they tell, with the share of the last
    /// epoch in which the training waited for data.
    pub fn headline(&self, elapsed: Duration, waited: Option<f64>) -> String {
        if self.selection.is_some() {
            return self.message(elapsed);
        }
        let mut parts = vec![self.epoch()];
        if self.loss.is_some() {
            parts.push(self.pace(elapsed));
        }
        parts.extend(waited.map(waiting));
        parts.extend(self.best());
        parts.extend(self.left(elapsed));
        parts.join("  ")
    }

    fn epoch(&self) -> String {
        let epoch = (self.steps / self.steps_per_epoch.max(1) + 1).min(self.epochs);
        format!("epoch {epoch}/{}", self.epochs)
    }

    /// Images per second since this process took the run up.
    fn pace(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let images = (self.steps - self.resumed_at) as f64 * self.batch as f64;
        rate(images / seconds)
    }

    /// The line of an epoch that has ended, counted from 0.
    pub fn epoch_line(&self, epoch: &EpochEnd, elapsed: Duration) -> String {
        let mut parts = vec![
            format!("epoch {}/{}", epoch.epoch + 1, self.epochs),
            format!("loss {:.3}", epoch.loss),
            format!("train {:.1}%", epoch.top1),
        ];
        if let Some(accuracy) = epoch.validation {
            parts.push(format!("validation {:.1}%", accuracy.top1));
        }
        if let Some(accuracy) = epoch.raw {
            parts.push(format!("raw {:.1}%", accuracy.top1));
        }
        parts.push(rate(epoch.images_per_second));
        parts.extend(self.waited(epoch));
        parts.extend(self.best());
        parts.extend(self.left(elapsed));
        parts.join("  ")
    }

    /// The share of the epoch's time in which the next batch was not ready, where it is worth a look.
    fn waited(&self, epoch: &EpochEnd) -> Option<String> {
        let images = (self.steps_per_epoch * self.batch as u64) as f64;
        let share = epoch.data_wait * epoch.images_per_second / images;
        (share >= 0.05).then(|| waiting(share))
    }

    fn best(&self) -> Option<String> {
        self.best
            .map(|(score, macs)| format!("best {score:.1}% at {} MACs", rounded_count(macs)))
    }

    /// The time that the rest takes at the pace so far; nothing where there is no pace or no rest.
    fn left(&self, elapsed: Duration) -> Option<String> {
        let (steps, all) = self.part();
        let before = match self.selection {
            Some(selection) => selection.known as u64,
            None => self.resumed_at,
        };
        let done = steps.checked_sub(before).filter(|&done| done > 0)?;
        let rest = all.checked_sub(steps).filter(|&rest| rest > 0)?;
        let seconds = elapsed.as_secs_f64() * rest as f64 / done as f64;
        let left = Duration::try_from_secs_f64(seconds).ok()?;
        Some(format!("{} left", duration(left)))
    }
}

/// What is known when an epoch has ended.
#[derive(Clone, Copy)]
pub(crate) struct EpochEnd {
    pub epoch: u64,
    pub loss: f64,
    pub top1: f64,
    pub images_per_second: f64,
    /// Seconds in which the next batch was not ready yet.
    pub data_wait: f64,
    pub validation: Option<Accuracy>,
    /// Of the weights as they are trained.
    pub raw: Option<Accuracy>,
}

fn waiting(share: f64) -> String {
    format!("{:.0}% waiting for data", 100.0 * share)
}

fn rate(images_per_second: f64) -> String {
    format!("{} images/s", rounded_count(images_per_second as u64))
}

/// A learning rate to three digits: `0.05`, `1.2e-5`.
pub(crate) fn short_rate(lr: f64) -> String {
    if lr == 0.0 || lr >= 0.001 {
        let text = format!("{lr:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{lr:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use creamery_space::{Architecture, Cost};
    use creamery_train::event::Images;

    use super::*;

    fn started(step: u64) -> Event {
        Event::Started {
            task: "search".into(),
            epochs: 4,
            steps_per_epoch: 10,
            batch: 50,
            step,
            images: Images {
                train: 503,
                validation: 0,
                test: 10,
            },
        }
    }

    fn step(step: u64, loss: f64) -> Event {
        Event::Step {
            step,
            epoch: step / 10,
            loss,
            top1: 50.0,
            lr: 0.05,
            grad_norm: 1.0,
            macs: 5_000_000,
            teacher: None,
        }
    }

    fn row(score: f64, macs: u64) -> BoardRow {
        BoardRow {
            architecture: Architecture::new("s", 28, vec![vec![0]]),
            score,
            cost: Cost {
                macs,
                ..Cost::default()
            },
            entered: 0,
            taught: 0,
            bucket: 0,
        }
    }

    fn after(events: &[Event]) -> Standing {
        let mut standing = Standing::default();
        events.iter().for_each(|event| standing.update(event));
        standing
    }

    #[test]
    fn pace_and_rest_are_those_of_this_process() {
        // 20 steps were done before; 10 more in 5 seconds are 2 steps/s, and 10 steps are left.
        let events: Vec<Event> = std::iter::once(started(20))
            .chain((20..30).map(|i| step(i, 1.5)))
            .collect();
        let message = after(&events).message(Duration::from_secs(5));
        assert_eq!(
            message,
            "epoch 4/4  100 images/s  loss 1.500  lr 0.05  5s left"
        );
    }

    #[test]
    fn nothing_is_said_before_it_is_known() {
        assert_eq!(
            after(&[started(0)]).message(Duration::from_secs(9)),
            "epoch 1/4"
        );
        assert_eq!(Standing::default().message(Duration::ZERO), "epoch 0/0");
    }

    #[test]
    fn the_best_entry_counts_whatever_its_bucket() {
        let board = Event::Board {
            step: 3,
            board: vec![row(71.0, 1_000_000), row(90.25, 5_213_444)],
        };
        let message = after(&[started(0), board]).message(Duration::ZERO);
        assert_eq!(message, "epoch 1/4  best 90.2% at 5.21M MACs");
        let emptied = Event::Board {
            step: 4,
            board: vec![],
        };
        assert_eq!(
            after(&[started(0), emptied]).message(Duration::ZERO),
            "epoch 1/4"
        );
    }

    #[test]
    fn the_last_step_leaves_no_rest() {
        let standing = after(&[started(0), step(39, 1.0)]);
        assert_eq!(standing.steps, standing.all_steps());
        let message = standing.message(Duration::from_secs(60));
        assert!(
            message.starts_with("epoch 4/4") && !message.contains("left"),
            "{message}"
        );
    }

    fn evaluated(done: usize, top1: f64, macs: u64) -> Event {
        Event::Evaluated {
            architecture: Architecture::new("s", 28, vec![vec![0]]),
            cost: Cost {
                macs,
                ..Cost::default()
            },
            top1,
            done,
            of: 50,
            known: false,
        }
    }

    #[test]
    fn a_selection_says_how_far_it_is_and_what_is_best() {
        let board = Event::Board {
            step: 39,
            board: vec![row(90.0, 1_000_000)],
        };
        let mut events = vec![started(0), step(39, 1.0), board];
        events.extend([evaluated(1, 61.0, 3_000_000), evaluated(2, 60.0, 2_000_000)]);
        let standing = after(&events);
        assert_eq!(standing.part(), (2, 50));
        assert_eq!(
            standing.message(Duration::from_secs(4)),
            "evaluated 2/50  best 61.0% at 3M MACs  1m36s left"
        );
        assert_eq!(standing.selection_line(Duration::ZERO), None);
    }

    #[test]
    fn the_pace_of_a_selection_is_that_of_this_process() {
        let mut events = vec![
            evaluated(1, 61.0, 1),
            evaluated(30, 60.0, 1),
            evaluated(40, 60.0, 1),
        ];
        for event in &mut events[..2] {
            let Event::Evaluated { known, .. } = event else {
                unreachable!("these are evaluations")
            };
            *known = true;
        }
        let message = after(&events).message(Duration::from_secs(20));
        assert_eq!(message, "evaluated 40/50  best 61.0% at 1 MACs  20s left");
        assert!(!after(&events[..2]).message(Duration::ZERO).contains("left"));
    }

    #[test]
    fn a_line_for_each_tenth_of_a_selection() {
        let mut standing = Standing::default();
        let mut lines = Vec::new();
        for done in 1..=50 {
            standing.update(&evaluated(done, done as f64, 1));
            lines.extend(standing.selection_line(Duration::from_secs(done as u64)));
        }
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "evaluated 5/50  best 5.0% at 1 MACs  45s left");
        assert_eq!(lines[9], "evaluated 50/50  best 50.0% at 1 MACs");
        assert_eq!(after(&[started(0)]).selection_line(Duration::ZERO), None);
    }

    #[test]
    fn an_epochs_line() {
        let end = EpochEnd {
            epoch: 1,
            loss: 0.5,
            top1: 80.0,
            images_per_second: 1234.5,
            data_wait: 0.0,
            validation: Some(Accuracy {
                top1: 81.26,
                top5: 99.0,
                loss: 0.4,
                images: 100,
            }),
            raw: None,
        };
        let standing = after(&[started(0), step(19, 0.5)]);
        let line = |data_wait| {
            let end = EpochEnd { data_wait, ..end };
            standing.epoch_line(&end, Duration::from_secs(123))
        };
        assert_eq!(
            line(0.01),
            "epoch 2/4  loss 0.500  train 80.0%  validation 81.3%  1,234 images/s  2m03s left"
        );
        // 500 images at that rate are 405 ms.
        let waited = line(0.1);
        assert!(
            waited.contains("images/s  25% waiting for data  2m03s"),
            "{waited}"
        );
    }

    #[test]
    fn rates_are_short() {
        for (lr, text) in [
            (1.0, "1"),
            (0.05, "0.05"),
            (0.0333333, "0.0333"),
            (1.234e-5, "1.2e-5"),
            (0.0, "0"),
        ] {
            assert_eq!(short_rate(lr), text);
        }
    }
}
