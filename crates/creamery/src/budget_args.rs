//! Flags for what a winner may cost.

use creamery_space::{CountError, parse_count};
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
    /// Ranges of MACs within the budget, each with a winner of its own
    #[arg(long, value_name = "N")]
    buckets: Option<u32>,
}

impl BudgetArgs {
    /// The settings that the flags make.
    pub fn flags(&self) -> [(&'static str, Option<Value>); 5] {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let buckets = self.buckets.map(|n| Value::Integer(n.into()));
        [
            ("budget.max_macs", text(&self.max_macs)),
            ("budget.min_macs", text(&self.min_macs)),
            ("budget.max_params", text(&self.max_params)),
            ("budget.min_params", text(&self.min_params)),
            ("budget.buckets", buckets),
        ]
    }
}

/// A count in the form that configurations take, checked here so that the flag is named.
fn count(text: &str) -> Result<String, CountError> {
    parse_count(text).map(|count| count.to_string())
}
