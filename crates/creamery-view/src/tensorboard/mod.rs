//! Event files for TensorBoard.
//!
//! [`TensorBoard`] is an observer that writes them while a run works, to `tensorboard/` in the run's folder, and
//! [`convert`] writes them afterwards. Both read `metrics.jsonl`: a run that goes on has cut off there what a killed
//! process had written after the checkpoint, and the event file is written anew from it, so that no step is in it twice.

mod picture;
mod proto;
mod record;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use creamery_train::Confusion;
use creamery_train::event::{BoardRow, Event, Observer};
use prost::Message;
use serde::Deserialize;

use crate::rounded_count;
use proto::{
    Kind, PluginData, SessionLog, Summary, SummaryMetadata, TensorProto, TensorShapeProto, Value,
    What,
};

/// Where the event files of a run are, in its folder.
pub const FOLDER: &str = "tensorboard";

/// The longest time that what was told stays unwritten.
const FLUSH: Duration = Duration::from_secs(2);

/// The most bytes of a line and of a confusion matrix that are read.
const MAX_LINE: u64 = 4 << 20;
const MAX_CONFUSION: u64 = 64 << 20;

/// Why event files cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write TensorBoard's files to `{}`: {source}", folder.display())]
pub struct TensorBoardError {
    folder: PathBuf,
    source: io::Error,
}

/// An observer that writes a run's event file.
///
/// What cannot be written is lost, and said when the run is over: no run ends because of it.
pub struct TensorBoard {
    run: PathBuf,
    file: Option<EventFile>,
    fault: Option<TensorBoardError>,
}

impl TensorBoard {
    /// For the run in a folder. Nothing is written before the first event.
    pub fn of(run: &Path) -> Self {
        Self {
            run: run.to_owned(),
            file: None,
            fault: None,
        }
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut file = EventFile::create(&self.run.join(FOLDER))?;
                // What was told before this process; nothing, for a new run.
                file.replay(&self.run)?;
                none.insert(file)
            }
        };
        file.add(event)?;
        file.flush_sometimes()
    }
}

impl Observer for TensorBoard {
    fn observe(&mut self, event: &Event) {
        if self.fault.is_some() {
            return;
        }
        if let Err(source) = self.write(event) {
            let folder = self.run.join(FOLDER);
            self.fault = Some(TensorBoardError { folder, source });
        }
    }
}

impl Drop for TensorBoard {
    fn drop(&mut self) {
        if let (Some(file), None) = (&mut self.file, &self.fault)
            && let Err(source) = file.finish(&self.run)
        {
            let folder = self.run.join(FOLDER);
            self.fault = Some(TensorBoardError { folder, source });
        }
        if let Some(fault) = &self.fault {
            eprintln!("warning: {fault}");
        }
    }
}

/// Writes the event file of a run that is over, as far as what it has recorded can be read; returns the number of events.
///
/// # Errors
/// [`TensorBoardError`] if it cannot be written.
pub fn convert(run: &Path) -> Result<u64, TensorBoardError> {
    let folder = run.join(FOLDER);
    let convert = || {
        let mut file = EventFile::create(&folder)?;
        let events = file.replay(run)?;
        file.finish(run)?;
        Ok(events)
    };
    convert().map_err(|source| TensorBoardError {
        folder: folder.clone(),
        source,
    })
}

/// An event file.
struct EventFile {
    to: BufWriter<File>,
    flushed: Instant,
    steps_per_epoch: u64,
    /// The step that the next event is of.
    step: u64,
    /// The board, since it was last written.
    board: Option<Vec<BoardRow>>,
    /// Paths evaluated so far.
    evaluated: u64,
}

impl EventFile {
    /// A new one, in place of those that were there.
    fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if is_ours(&path) {
                fs::remove_file(path)?;
            }
        }
        let name = format!("events.out.tfevents.{:010}.creamery", now() as u64);
        let mut file = Self {
            to: BufWriter::new(File::create(folder.join(name))?),
            flushed: Instant::now(),
            steps_per_epoch: 0,
            step: 0,
            board: None,
            evaluated: 0,
        };
        file.write(0, What::FileVersion("brain.Event:2".into()))?;
        // A TensorBoard that had read a file before this one forgets it.
        file.write(0, What::SessionLog(SessionLog { status: 1 }))?;
        Ok(file)
    }

    /// Adds the events that the run has recorded; returns their number.
    fn replay(&mut self, run: &Path) -> io::Result<u64> {
        let mut events = 0;
        let trained = for_each_line(&run.join("metrics.jsonl"), |line| {
            // Half a line, or one of another version, has nothing to show.
            let Ok(event) = serde_json::from_slice(line) else {
                return Ok(());
            };
            events += 1;
            self.add(&event)
        })?;
        if trained {
            return Ok(events);
        }
        // A selection by itself keeps what it evaluated only.
        for_each_line(&run.join("evaluations.jsonl"), |line| {
            let Ok(Evaluation { macs, top1 }) = serde_json::from_slice(line) else {
                return Ok(());
            };
            events += 1;
            self.evaluated(macs, top1)
        })?;
        Ok(events)
    }

    fn add(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Started {
                steps_per_epoch,
                step,
                ..
            } => {
                self.steps_per_epoch = *steps_per_epoch;
                self.step = *step;
                Ok(())
            }
            Event::Step {
                step,
                loss,
                top1,
                lr,
                grad_norm,
                macs,
                teacher,
                ..
            } => {
                self.step = *step;
                let mut values = vec![
                    ("train/loss", *loss),
                    ("train/top1", *top1),
                    ("train/learning_rate", *lr),
                    ("train/gradient_norm", *grad_norm),
                    ("train/path_macs", *macs as f64),
                ];
                values.extend(teacher.map(|teacher| ("train/rho", teacher.rho)));
                self.scalars(*step, &values)
            }
            Event::Meta {
                step,
                loss,
                gradient,
                ..
            } => self.scalars(*step, &[("meta/loss", *loss), ("meta/gradient", *gradient)]),
            Event::Board { step, board } => {
                self.board = Some(board.clone());
                let best = board.iter().map(|row| row.score).reduce(f64::max);
                let best = best.map(|best| ("board/best_top1", best));
                self.scalars(*step, best.as_slice())
            }
            Event::Epoch {
                epoch,
                images_per_second,
                data_wait,
                validation,
                raw,
                ..
            } => {
                let step = ((epoch + 1) * self.steps_per_epoch).saturating_sub(1);
                let mut values = vec![
                    ("speed/images_per_second", *images_per_second),
                    ("speed/data_wait_seconds", *data_wait),
                ];
                if let Some(accuracy) = validation {
                    values.push(("validation/top1", accuracy.top1));
                    values.push(("validation/top5", accuracy.top5));
                    values.push(("validation/loss", accuracy.loss));
                }
                if let Some(accuracy) = raw {
                    values.push(("validation/raw_top1", accuracy.top1));
                }
                self.scalars(step, &values)?;
                self.board(step)
            }
            Event::Evaluated { cost, top1, .. } => self.evaluated(cost.macs, *top1),
            Event::Warning { message } => self.text(self.step, "warning", message.clone()),
            Event::Checkpoint { .. } | Event::Finished { .. } => Ok(()),
        }
    }

    fn evaluated(&mut self, macs: u64, top1: f64) -> io::Result<()> {
        let step = self.evaluated;
        self.evaluated += 1;
        let values = [("selection/top1", top1), ("selection/macs", macs as f64)];
        self.scalars(step, &values)
    }

    fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let value = values.iter().map(|(tag, value)| Value {
            tag: (*tag).to_owned(),
            metadata: None,
            value: Some(Kind::SimpleValue(*value as f32)),
        });
        let value = value.collect();
        self.write(step, What::Summary(Summary { value }))
    }

    /// The board as a table of Markdown, if it has changed.
    fn board(&mut self, step: u64) -> io::Result<()> {
        let Some(board) = self.board.take() else {
            return Ok(());
        };
        let mut table =
            "| | top-1 | MACs | parameters | entered | taught | architecture |\n|-:|-:|-:|-:|-:|-:|:-|\n".to_owned();
        for (place, row) in board.iter().enumerate() {
            table.push_str(&format!(
                "| {} | {:.1}% | {} | {} | {} | {} | `{}` |\n",
                place + 1,
                row.score,
                rounded_count(row.cost.macs),
                rounded_count(row.cost.params),
                row.entered,
                row.taught,
                row.architecture
            ));
        }
        self.text(step, "board", table)
    }

    fn text(&mut self, step: u64, tag: &str, text: String) -> io::Result<()> {
        let plugin_data = Some(PluginData {
            plugin_name: "text".into(),
        });
        let value = Value {
            tag: tag.to_owned(),
            metadata: Some(SummaryMetadata {
                plugin_data,
                data_class: 2,
            }),
            value: Some(Kind::Tensor(TensorProto {
                dtype: 7,
                tensor_shape: Some(TensorShapeProto {}),
                string_val: vec![text.into_bytes()],
            })),
        };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    /// Adds what the run has left when it is over, and ends the file.
    fn finish(&mut self, run: &Path) -> io::Result<()> {
        self.board(self.step)?;
        let path = run.join("confusion.json");
        let small =
            fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MAX_CONFUSION);
        let confusion = small.then(|| fs::read(path)).and_then(Result::ok);
        let confusion = confusion.and_then(|text| serde_json::from_slice::<Confusion>(&text).ok());
        if let Some(image) = confusion.as_ref().and_then(picture::confusion) {
            let value = Value {
                tag: "confusion".into(),
                metadata: None,
                value: Some(Kind::Image(image)),
            };
            self.write(self.step, What::Summary(Summary { value: vec![value] }))?;
        }
        self.to.flush()
    }

    fn write(&mut self, step: u64, what: What) -> io::Result<()> {
        let event = proto::Event {
            wall_time: now(),
            step: step as i64,
            what: Some(what),
        };
        record::write(&mut self.to, &event.encode_to_vec())
    }

    /// For whoever watches the file.
    fn flush_sometimes(&mut self) -> io::Result<()> {
        if self.flushed.elapsed() >= FLUSH {
            self.to.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

/// A line of `evaluations.jsonl`.
#[derive(Deserialize)]
struct Evaluation {
    macs: u64,
    top1: f64,
}

/// Calls for each line of a file, in pieces if it is too long; `false` if there is no such file.
fn for_each_line(path: &Path, mut line: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut lines = BufReader::with_capacity(1 << 18, file);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        io::Read::take(&mut lines, MAX_LINE).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(true);
        }
        line(&bytes)?;
    }
}

/// Whether a file is one that [`EventFile::create`] has named.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("events.out.tfevents.") && name.ends_with(".creamery"))
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
