//! Flags for what a winner may cost.

use creamery_space::{CountError, LatencyError, format_latency, parse_count, parse_latency};
use toml::Value;

/// The budget, and its division into buckets.
#[derive(clap::Args, Debug)]
pub(crate) struct BudgetArgs {
    /// Most multiply-accumulates of the winner, such as 5M
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_macs: Option<String>,
    /// Fewest multiply-accumulates
    #[arg(long, value_name = "COUNT", value_parser = count)]
    min_macs: Option<String>,
    /// Most parameters, such as 300k
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_params: Option<String>,
    /// Fewest parameters
    #[arg(long, value_name = "COUNT", value_parser = count)]
    min_params: Option<String>,
    /// Longest time of a pass, such as 3ms, by the latency table
    #[arg(long, value_name = "TIME", value_parser = latency)]
    max_latency: Option<String>,
    /// Shortest time of a pass
    #[arg(long, value_name = "TIME", value_parser = latency)]
    min_latency: Option<String>,
    /// What the space's blocks take on a device; `creamery profile` measures it
    #[arg(long, value_name = "FILE.json")]
    latency_table: Option<String>,
    /// Ranges of MACs within the budget, each with a winner of its own
    #[arg(long, value_name = "N")]
    buckets: Option<u32>,
}

impl BudgetArgs {
    /// The settings that the flags make.
    pub fn flags(&self) -> [(&'static str, Option<Value>); 8] {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let buckets = self.buckets.map(|n| Value::Integer(n.into()));
        [
            ("budget.max_macs", text(&self.max_macs)),
            ("budget.min_macs", text(&self.min_macs)),
            ("budget.max_params", text(&self.max_params)),
            ("budget.min_params", text(&self.min_params)),
            ("budget.max_latency", text(&self.max_latency)),
            ("budget.min_latency", text(&self.min_latency)),
            ("latency_table", text(&self.latency_table)),
            ("budget.buckets", buckets),
        ]
    }
}

/// A count in the form that configurations take, checked here so that the flag is named.
fn count(text: &str) -> Result<String, CountError> {
    parse_count(text).map(|count| count.to_string())
}

/// The same for a latency.
fn latency(text: &str) -> Result<String, LatencyError> {
    parse_latency(text).map(format_latency)
}
