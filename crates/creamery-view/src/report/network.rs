//! The network, drawn, beside the operations of all that was looked at.

use super::page::{Block, Facts, ReportError, Section};
use super::{found, operations};
use crate::chart::Network;
use crate::record::RunRecord;
use crate::{rounded_count, rounded_latency};

pub(super) fn section(run: &RunRecord) -> Result<Option<Section>, ReportError> {
    let Some(found) = found::network(run) else {
        return Ok(None);
    };
    let architecture = &found.architecture;
    let mut facts = Facts::default();
    facts.add(found.why, architecture.to_string());
    facts.add("input", format!("{0} × {0} px", architecture.resolution));
    let mut blocks = Vec::new();
    let layers = found::layers(run, architecture);
    let mut figures = Vec::new();
    if let Some(layers) = layers {
        let cost: creamery_space::Cost = layers.iter().map(|layer| layer.cost).sum();
        facts.add("MACs", rounded_count(cost.macs));
        facts.add("parameters", rounded_count(cost.params));
        facts.add("FLOPs (thop)", rounded_count(cost.flops_thop));
        let network = Network {
            title: "Block by block".into(),
            layers,
            caption: "Colour: kernel of the block. Width: its expansion, ×. SE: squeeze-excite. Arc: the block adds its input to its output."
                .into(),
        };
        figures.push(network.svg()?);
    }
    let latency = (run.result()).and_then(|result| result.get("latency_ns")?.as_u64());
    if let Some(latency) = latency.filter(|ns| *ns > 0) {
        facts.add("latency by the run's table", rounded_latency(latency));
    }
    blocks.extend(facts.block());
    figures.extend(operations::figure(run)?);
    if !figures.is_empty() {
        blocks.push(Block::Figures(figures));
    }
    Ok(Section::of("network", "Network", blocks))
}
