//! Writes the folder of a search of a million events, or says how long it takes to read one and in how much memory.
//!
//!     cargo run --release -p creamery-view --example huge_run -- write DIR
//!     cargo run --release -p creamery-view --example huge_run -- read DIR

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use creamery_space::{Architecture, Cost};
use creamery_train::event::{BoardRow, Event, Images, Teacher};
use creamery_view::record::RunRecord;

const EVENTS: u64 = 1_000_000;
const EPOCHS: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", folder] => write(Path::new(folder)),
        ["read", folder] => read(Path::new(folder)),
        _ => Err("huge_run write|read DIR".into()),
    }
}

fn read(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let run = RunRecord::read(folder)?;
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = fs::metadata(folder.join("metrics.jsonl"))?.len();
    let events = run.history().events;
    println!(
        "{events} events, {:.0} MB: {seconds:.2} s",
        bytes as f64 / 1e6
    );
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("peak memory: {}", peak.map_or("unknown", str::trim));
    Ok(())
}

fn write(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("run.toml"),
        "method = \"cream\"\nspace = \"tiny-32\"\nseed = 0\n",
    )?;
    let mut file = BufWriter::new(File::create(folder.join("metrics.jsonl"))?);
    let mut written = 0;
    let mut tell = |event: Event| -> Result<(), Box<dyn std::error::Error>> {
        serde_json::to_writer(&mut file, &event)?;
        file.write_all(b"\n")?;
        written += 1;
        Ok(())
    };
    let steps_per_epoch = EVENTS / EPOCHS;
    let images = Images {
        train: 1_281_167,
        validation: 50_000,
        test: 50_000,
    };
    tell(Event::Started {
        task: "search".into(),
        epochs: EPOCHS,
        steps_per_epoch,
        batch: 128,
        step: 0,
        images,
    })?;
    let mut board: Vec<BoardRow> = Vec::new();
    let mut step = 0;
    // Numbers that look like those of a run, digits and all.
    let noise =
        |step: u64| (step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1u64 << 53) as f64;
    while step < EVENTS {
        // Boards change often at first, then seldom: about one event in twenty.
        if noise(step) < 0.05 {
            board.truncate(9);
            let op = |k: u64| ((step >> k) % 6) as i8;
            let choices = vec![
                vec![op(0), op(1)],
                vec![op(2), op(3), op(4)],
                vec![op(5), op(6), op(7), op(8)],
            ];
            let macs = 3_000_000 + step % 1_000_000;
            board.insert(
                0,
                BoardRow {
                    architecture: Architecture::new("tiny-32", 28, choices),
                    score: 100.0 * noise(step + 1),
                    cost: Cost {
                        macs,
                        params: macs / 12,
                        flops_thop: macs + 1234,
                        latency_ns: 0,
                    },
                    entered: step,
                    taught: 0,
                    bucket: 0,
                },
            );
            tell(Event::Board {
                step,
                board: board.clone(),
            })?;
        }
        let progress = step as f64 / EVENTS as f64;
        tell(Event::Step {
            step,
            epoch: step / steps_per_epoch,
            loss: 2.4 - progress + noise(step),
            top1: 100.0 * progress * noise(step + 2),
            lr: 0.1 * (1.0 - progress),
            grad_norm: 1.0 + 3.0 * noise(step + 3),
            macs: 3_000_000 + step % 1_000_000,
            teacher: Some(Teacher {
                rank: (step % 10) as usize,
                rho: noise(step + 4),
            }),
        })?;
        step += 1;
        if step % steps_per_epoch == 0 {
            let (loss, top1) = (2.4 - progress, 60.0 * progress);
            tell(Event::Epoch {
                epoch: step / steps_per_epoch - 1,
                loss,
                top1,
                images_per_second: 1234.5,
                data_wait: 0.0,
                summed_bytes: None,
                validation: None,
                raw: None,
            })?;
        }
    }
    let (steps, seconds) = (step, 12_345.6);
    tell(Event::Finished { steps, seconds })?;
    println!("{written} events");
    Ok(())
}
