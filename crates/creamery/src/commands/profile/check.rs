//! `creamery profile --check`: a latency table against the times of whole networks.

use std::path::Path;

use creamery_export::latency::{Input, Machine, Runtime, draw, measure};
use creamery_search::rank::{Agreement, Bootstrap};
use creamery_space::{Architecture, LatencyTable, Space};
use creamery_view::rounded_latency;
use serde_json::json;

use super::{Args, Steps, images, measured_on};
use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;
use crate::overview::{Overview, plural, table};

/// A network with what the table says of it and what the clock says, in nanoseconds.
struct Checked {
    network: Architecture,
    predicted: u64,
    measured: u64,
}

impl Checked {
    /// The table's error as a part of the time.
    fn error(&self) -> f64 {
        (self.predicted as f64 - self.measured as f64) / self.measured as f64
    }
}

pub(super) fn run(args: &Args, file: &Path, global: &Global) -> Result<Answer, CommandError> {
    let device = creamery_nn::device(&args.device)?;
    let latency = LatencyTable::read(file)?;
    let space = Space::resolve(args.space.as_deref().unwrap_or(&latency.space))?;
    let runtime = suits(&latency, file)?;
    let space = space.with_latency(latency)?;
    let latency = space.latency_table().expect("the space was given one");
    let input = Input {
        resolution: latency.resolution,
        channels: latency.channels,
        classes: latency.classes,
        batch: latency.batch,
    };
    let networks = draw(&space, input, args.networks, "check networks", args.seed)?;
    let mut steps = Steps::new(global);
    let times = measure(
        &space,
        &networks,
        input,
        args.effort(),
        args.seed,
        Machine {
            runtime,
            device: &device,
        },
        &mut |progress| steps.tell(progress),
    )?;
    let mut checked = Vec::new();
    for (network, measured) in networks.into_iter().zip(times) {
        checked.push(Checked {
            predicted: space
                .cost(&network, input.channels, input.classes)?
                .latency_ns,
            measured: measured.max(1),
            network,
        });
    }
    answer(checked, latency)
}

/// The runtime that a table was measured with; refuses one that times of this process cannot be compared with.
fn suits(latency: &LatencyTable, file: &Path) -> Result<Runtime, CommandError> {
    let wrong = |message: String| {
        let file = file.display();
        Err(CommandError::Usage(format!("`{file}` {message}")))
    };
    let Some(runtime) = Runtime::named(&latency.runtime) else {
        return wrong(format!(
            "has the times of the runtime `{}`: this build can check those of {}{}",
            latency.runtime,
            super::runtimes(),
            super::hint(&latency.runtime)
        ));
    };
    let threads = runtime.threads();
    if latency.threads != threads {
        return wrong(format!(
            "was measured with {0}, not {threads}: check it with --threads {1}",
            plural(latency.threads, "thread"),
            latency.threads
        ));
    }
    Ok(runtime)
}

fn answer(mut checked: Vec<Checked>, latency: &LatencyTable) -> Result<Answer, CommandError> {
    let predicted: Vec<f64> = checked.iter().map(|c| c.predicted as f64).collect();
    let measured: Vec<f64> = checked.iter().map(|c| c.measured as f64).collect();
    let agreement = Agreement::of(&predicted, &measured, &Bootstrap::default())?;
    let errors = checked.iter().map(|c| c.error().abs());
    let mean = errors.clone().sum::<f64>() / checked.len() as f64;
    let worst = errors.fold(0.0, f64::max);
    let bias = checked.iter().map(Checked::error).sum::<f64>() / checked.len() as f64;

    checked.sort_by_key(|c| c.measured);
    let percent = |part: f64| format!("{:.1}%", 100.0 * part);
    let rows = checked.iter().map(|c| {
        vec![
            c.network.to_string(),
            rounded_latency(c.predicted),
            rounded_latency(c.measured),
            format!("{:+.1}%", 100.0 * c.error()),
        ]
    });
    let header = ["network", "table", "measured", "error"];
    let mut overview = Overview::default();
    overview
        .row("images", images(latency))
        .row("measured on", measured_on(latency))
        .row("networks", checked.len().to_string())
        .row(
            "mean error",
            format!("{}, {} at most", percent(mean), percent(worst)),
        )
        .row("bias", format!("{:+.1}%", 100.0 * bias))
        .row("agreement", agreement.to_string());
    let networks: Vec<_> = checked
        .iter()
        .map(|c| {
            json!({
                "architecture": c.network,
                "predicted_ns": c.predicted,
                "measured_ns": c.measured,
            })
        })
        .collect();
    let json = json!({
        "kind": "profile check",
        "table": latency.origin,
        "fingerprint": latency.fingerprint(),
        "mean_error": mean,
        "worst_error": worst,
        "bias": bias,
        "agreement": agreement,
        "networks": networks,
    });
    let text = format!("{}\n{overview}", table(&header, &[], rows.collect()));
    Ok(Answer::done(text, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_parts_of_the_measured_time() {
        let network = Architecture::new("tiny-32", 28, vec![vec![0]; 3]);
        let checked = [(110, 100), (90, 100), (300, 200)].map(|(predicted, measured)| Checked {
            network: network.clone(),
            predicted,
            measured,
        });
        let space = Space::builtin("tiny-32").unwrap();
        let latency = LatencyTable {
            origin: "t.json".into(),
            space: space.name.clone(),
            space_fingerprint: space.fingerprint(),
            resolution: 28,
            channels: 1,
            classes: 10,
            device: "cpu".into(),
            runtime: "creamery".into(),
            batch: 1,
            threads: 1,
            overhead_ns: 0,
            blocks: Vec::new(),
        };
        let json = answer(checked.into(), &latency).unwrap().json;
        let part = |key: &str| json[key].as_f64().unwrap();
        assert!((part("mean_error") - 0.7 / 3.0).abs() < 1e-12);
        assert!((part("bias") - 0.5 / 3.0).abs() < 1e-12);
        assert_eq!(part("worst_error"), 0.5);
        assert_eq!(json["networks"][2]["measured_ns"], 200);
    }
}
