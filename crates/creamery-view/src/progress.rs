//! The progress of a run, for people.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use creamery_train::event::{Event, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::standing::{EpochEnd, Standing};

/// Shows how far a run is, how fast it goes, how long it still takes, and the best entry of its board; then
/// how far the selection is, and the best path that was evaluated.
pub struct Progress {
    standing: Standing,
    since: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Box<dyn Write>),
    Nothing,
}

impl Progress {
    /// Nothing, until it is told to [`speak`](Self::speak).
    pub(crate) fn silent() -> Self {
        Self::showing(Shown::Nothing)
    }

    /// Goes on as [`stderr`](Self::stderr).
    pub(crate) fn speak(&mut self) {
        self.shown = Self::stderr(false).shown;
    }

    /// On standard error: a bar if it is a terminal, else a line for each epoch; nothing if `quiet`.
    pub fn stderr(quiet: bool) -> Self {
        if quiet {
            Self::showing(Shown::Nothing)
        } else if std::io::stderr().is_terminal() {
            Self::bar(ProgressDrawTarget::stderr())
        } else {
            Self::lines(std::io::stderr())
        }
    }

    /// A line for each epoch, each tenth of a selection and each warning. Lines that cannot be written are lost: no run should end
    /// because nobody reads along.
    pub fn lines(to: impl Write + 'static) -> Self {
        Self::showing(Shown::Lines(Box::new(to)))
    }

    fn bar(target: ProgressDrawTarget) -> Self {
        let style = ProgressStyle::with_template("{bar:20.cyan/dim} {percent:>3}%  {msg}")
            .expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style);
        Self::showing(Shown::Bar(bar))
    }

    fn showing(shown: Shown) -> Self {
        Self {
            standing: Standing::default(),
            since: Instant::now(),
            shown,
        }
    }

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// A line above the bar or among the lines.
    fn line(&mut self, text: &str) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.println(text),
            Shown::Lines(to) => {
                // A closed pipe must not stop the run.
                let _ = writeln!(to, "{text}");
            }
            Shown::Nothing => {}
        }
    }

    fn draw(&self) {
        if let Shown::Bar(bar) = &self.shown {
            let (done, all) = self.standing.part();
            bar.set_length(all);
            bar.set_position(done);
            bar.set_message(self.standing.message(self.elapsed()));
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => self.since = Instant::now(),
            Event::Evaluated { done, known, .. } if *done == 1 || *known => {
                self.since = Instant::now();
                if let Shown::Bar(bar) = &self.shown
                    && bar.is_finished()
                {
                    // It ended with the training.
                    bar.reset();
                }
            }
            _ => {}
        }
        self.standing.update(event);
        match event {
            Event::Started {
                task, step, images, ..
            } => {
                let resumed = match step {
                    0 => String::new(),
                    step => format!(", going on at step {step}"),
                };
                self.line(&format!(
                    "{task}: {} images to train on, {} held out, {} to test on{resumed}",
                    images.train, images.validation, images.test
                ));
                self.draw();
            }
            Event::Step { .. } | Event::Board { .. } => self.draw(),
            &Event::Epoch {
                epoch,
                loss,
                top1,
                images_per_second,
                data_wait,
                validation,
                raw,
                summed_bytes: _,
            } => {
                let end = EpochEnd {
                    epoch,
                    loss,
                    top1,
                    images_per_second,
                    data_wait,
                    validation,
                    raw,
                };
                let line = self.standing.epoch_line(&end, self.elapsed());
                self.line(&line);
                self.draw();
            }
            Event::Evaluated { .. } => {
                if let Some(line) = self.standing.selection_line(self.elapsed()) {
                    self.line(&line);
                }
                self.draw();
            }
            Event::Warning { message } => self.line(&format!("warning: {message}")),
            Event::Finished { .. } => {
                if let Shown::Bar(bar) = &self.shown {
                    bar.finish_and_clear();
                }
            }
            Event::Meta { .. } | Event::Checkpoint { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use creamery_space::{Architecture, Cost};
    use creamery_train::event::Images;
    use indicatif::InMemoryTerm;

    use super::*;

    /// A writer that keeps what it is given, or refuses it.
    #[derive(Clone, Default)]
    struct Sink {
        text: Rc<RefCell<Vec<u8>>>,
        closed: bool,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.closed {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            self.text.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn run() -> Vec<Event> {
        let mut events = vec![Event::Started {
            task: "retrain".into(),
            epochs: 2,
            steps_per_epoch: 2,
            batch: 8,
            step: 1,
            images: Images {
                train: 17,
                validation: 4,
                test: 5,
            },
        }];
        for step in 1..4 {
            events.push(Event::Step {
                step,
                epoch: step / 2,
                loss: 2.0,
                top1: 12.5,
                lr: 0.1,
                grad_norm: 1.0,
                macs: 1,
                teacher: None,
            });
            if step % 2 == 1 {
                events.push(Event::Epoch {
                    epoch: step / 2,
                    loss: 2.0,
                    top1: 12.5,
                    images_per_second: 100.0,
                    data_wait: 0.0,
                    validation: None,
                    raw: None,
                    summed_bytes: None,
                });
            }
        }
        events.push(Event::Warning {
            message: "two images were left out".into(),
        });
        events
    }

    #[test]
    fn a_line_for_each_epoch_and_warning() {
        let sink = Sink::default();
        let mut progress = Progress::lines(sink.clone());
        run().iter().for_each(|event| progress.observe(event));
        let text = String::from_utf8(sink.text.borrow().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(
            lines[0],
            "retrain: 17 images to train on, 4 held out, 5 to test on, going on at step 1"
        );
        assert!(lines[1].starts_with("epoch 1/2  loss 2.000"), "{text}");
        assert!(lines[2].starts_with("epoch 2/2  loss 2.000"), "{text}");
        assert_eq!(lines[3], "warning: two images were left out");
    }

    #[test]
    fn a_closed_pipe_stops_nothing() {
        let mut progress = Progress::lines(Sink {
            closed: true,
            ..Sink::default()
        });
        run().iter().for_each(|event| progress.observe(event));
        assert_eq!(progress.standing.steps, 4);
    }

    #[test]
    fn a_bar_on_a_terminal_that_leaves_its_lines_behind() {
        let terminal = InMemoryTerm::new(10, 120);
        let mut progress = Progress::bar(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        run().iter().for_each(|event| progress.observe(event));
        let Shown::Bar(bar) = &progress.shown else {
            panic!("it shows a bar")
        };
        bar.force_draw();
        let text = terminal.contents();
        assert!(text.contains("100%  epoch 2/2"), "{text}");
        assert!(text.contains("loss 2.000  lr 0.1"), "{text}");
        assert!(text.contains("warning: two images were left out"), "{text}");
        progress.observe(&Event::Finished {
            steps: 4,
            seconds: 1.0,
        });
        let text = terminal.contents();
        assert!(!text.contains("100%"), "{text}");
        assert!(text.contains("epoch 2/2  loss"), "{text}");
        // What follows the last step can still say something, and has a bar of its own.
        progress.observe(&Event::Evaluated {
            architecture: Architecture::new("s", 28, vec![vec![0]]),
            cost: Cost::default(),
            top1: 50.0,
            done: 1,
            of: 4,
            known: false,
        });
        let Shown::Bar(bar) = &progress.shown else {
            panic!("it shows a bar")
        };
        bar.force_draw();
        let text = terminal.contents();
        assert!(text.contains(" 25%  evaluated 1/4  best 50.0%"), "{text}");
        progress.observe(&Event::Warning {
            message: "a bucket has no winner".into(),
        });
        let text = terminal.contents();
        assert!(text.contains("warning: a bucket has no winner"), "{text}");
    }
}
