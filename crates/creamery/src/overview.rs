//! What networks and runs look like in an answer for people.

use std::fmt::Write;

use creamery_space::{Architecture, Cost, LatencyTable, Space, SpaceError};
use creamery_view::{rounded_count, rounded_latency};

/// Lines of a name and a value, the values below each other.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    rows: Vec<(String, String)>,
}

impl Overview {
    /// Adds a line. Without a name it continues the one above.
    pub fn row(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.rows.push((name.to_owned(), value.into()));
        self
    }

    /// Adds the lines of a network: its choices, and its blocks as timm writes them.
    ///
    /// # Errors
    /// If the architecture does not belong to the space.
    pub fn network(
        &mut self,
        space: &Space,
        architecture: &Architecture,
    ) -> Result<&mut Self, SpaceError> {
        self.row("architecture", architecture.to_string());
        let timm = space.to_timm(architecture)?;
        let last = timm.len() - 1;
        for (i, blocks) in timm.iter().enumerate() {
            let place = match i {
                0 => "first".to_owned(),
                i if i == last => "last".to_owned(),
                i => format!("stage {}", i - 1),
            };
            self.row("", format!("{place:8} {}", blocks.join(" ")));
        }
        Ok(self)
    }

    /// Adds the lines of the cost of a network of the space, latency only where a table says it.
    pub fn cost(&mut self, cost: &Cost, space: &Space) -> &mut Self {
        self.row("MACs", count(cost.macs))
            .row("params", count(cost.params))
            .row("FLOPs (thop)", count(cost.flops_thop));
        if let Some(table) = space.latency_table().filter(|_| cost.latency_ns > 0) {
            let LatencyTable {
                device,
                runtime,
                batch,
                threads,
                ..
            } = table;
            let (batch, threads) = (plural(*batch, "image"), plural(*threads, "thread"));
            self.row("latency", rounded_latency(cost.latency_ns))
                .row("", format!("{batch}, {threads} of {device}, {runtime}"));
        }
        self
    }
}

impl std::fmt::Display for Overview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        for (name, value) in &self.rows {
            let mut line = String::new();
            write!(line, "{name:width$}  {value}")?;
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A count both at a glance and exactly: `5.21M (5,213,444)`.
pub(crate) fn count(count: u64) -> String {
    let (rounded, exact) = (rounded_count(count), exact(count));
    if rounded == exact {
        exact
    } else {
        format!("{rounded} ({exact})")
    }
}

/// All digits, in groups of three.
pub(crate) fn exact(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        _ => format!("{},{:03}", exact(count / 1000), count % 1000),
    }
}

/// A count with its noun.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{ending}", exact(count as u64))
}

/// A table without lines whose columns are wide enough for their contents. The first column, and those
/// listed in `texts`, are set to the left, numbers to the right.
pub(crate) fn table(header: &[&str], texts: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if i > 0 && !texts.contains(&i) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let mut overview = Overview::default();
        overview.row("a", "1").row("long name", "2").row("", "more");
        assert_eq!(
            overview.to_string(),
            "a          1\nlong name  2\n           more\n"
        );
    }

    #[test]
    fn counts_are_rounded_and_exact() {
        assert_eq!(count(5_213_444), "5.21M (5,213,444)");
        assert_eq!(count(9_000), "9k (9,000)");
        assert_eq!(exact(0), "0");
        assert_eq!(exact(1_002_003), "1,002,003");
        assert_eq!(plural(1, "class"), "1 class");
        assert_eq!(plural(1000, "class"), "1,000 classes");
        assert_eq!(plural(3, "channel"), "3 channels");
    }

    #[test]
    fn numbers_of_a_table_stand_to_the_right() {
        let text = table(
            &["name", "size"],
            &[],
            vec![
                vec!["a".into(), "5".into()],
                vec!["bcdef".into(), "12345".into()],
            ],
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["name    size", "a          5", "bcdef  12345"]);
    }
}
