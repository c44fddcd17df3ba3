//! A space with the times of its blocks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::{LatencyTable, LatencyTableError};
use crate::error::suggestion;
use crate::space::Space;

/// A table whose blocks are those of a space.
#[derive(Debug, PartialEq)]
pub(crate) struct Measured {
    table: LatencyTable,
    /// Nanoseconds by name.
    times: HashMap<String, u64>,
}

impl Measured {
    /// Nanoseconds of a block.
    pub fn ns(&self, block: &str) -> Result<u64, LatencyTableError> {
        // With a space that was changed after it got the table, a block may be missing here.
        let found = self.times.get(block).copied();
        found.ok_or_else(|| missing(&self.table, block))
    }

    /// What a whole network takes beyond its blocks.
    pub fn overhead_ns(&self) -> i64 {
        self.table.overhead_ns
    }
}

fn wrong(table: &LatencyTable, block: &str, message: String) -> LatencyTableError {
    LatencyTableError::Block {
        origin: table.origin.clone(),
        block: block.chars().take(64).collect(),
        message,
    }
}

fn missing(table: &LatencyTable, block: &str) -> LatencyTableError {
    let message = "is missing: every block of the space must be measured".to_owned();
    wrong(table, block, message)
}

impl Space {
    /// The space with a latency table: every [`Cost`](crate::Cost) of it has `latency_ns` from then on, and budgets
    /// may bound it. An earlier table is replaced.
    ///
    /// The table's resolution, channels and classes are compared when costs are asked for.
    ///
    /// # Errors
    /// [`LatencyTableError::OtherSpace`] by the fingerprint, [`LatencyTableError::Block`] for a block that is missing or none of the space,
    /// [`LatencyTableError::Value`] if `overhead_ns` takes more from the sum than the blocks that every network has.
    pub fn with_latency(self, table: LatencyTable) -> Result<Space, LatencyTableError> {
        let fingerprint = self.fingerprint();
        if table.space_fingerprint != fingerprint {
            let named = |name: &str, fingerprint: &str| format!("`{name}` [{fingerprint}]");
            return Err(LatencyTableError::OtherSpace {
                found: named(&table.space, &table.space_fingerprint),
                expected: named(&self.name, &fingerprint),
                name: self.name,
                origin: table.origin,
            });
        }
        let mut times = HashMap::new();
        for block in &table.blocks {
            if times.insert(block.name.clone(), block.median_ns).is_some() {
                let message = "is there twice: leave one of them".to_owned();
                return Err(wrong(&table, &block.name, message));
            }
        }
        let names = self.block_names();
        if let Some(name) = names.iter().find(|&name| !times.contains_key(name)) {
            return Err(missing(&table, name));
        }
        if times.len() > names.len()
            && let Some(block) = table.blocks.iter().find(|b| !names.contains(&b.name))
        {
            let hint = suggestion(&block.name, names.iter().map(String::as_str));
            let message = format!("is none of the space `{}`{hint}", self.name);
            return Err(wrong(&table, &block.name, message));
        }
        let fixed: u64 = FIXED.iter().map(|&name| times[name]).sum();
        if fixed
            .checked_add_signed(table.overhead_ns)
            .is_none_or(|sum| sum == 0)
        {
            return Err(LatencyTableError::Value {
                origin: table.origin,
                key: "overhead_ns",
                message: format!(
                    "is {}, but must leave something of the {fixed} ns of the blocks that every network has",
                    table.overhead_ns
                ),
            });
        }
        Ok(Space {
            latency: Some(Arc::new(Measured { table, times })),
            ..self
        })
    }

    /// The space with the latency table of a file.
    ///
    /// # Errors
    /// Those of [`LatencyTable::read`] and [`Space::with_latency`].
    pub fn with_latency_file(self, path: &Path) -> Result<Space, LatencyTableError> {
        self.with_latency(LatencyTable::read(path)?)
    }

    /// The latency table that the space was given.
    pub fn latency_table(&self) -> Option<&LatencyTable> {
        self.latency.as_ref().map(|measured| &measured.table)
    }

    /// The times for such images and classes; `None` without a table.
    pub(crate) fn measured(
        &self,
        resolution: usize,
        in_channels: usize,
        classes: usize,
    ) -> Result<Option<&Measured>, LatencyTableError> {
        let Some(measured) = &self.latency else {
            return Ok(None);
        };
        let table = &measured.table;
        if (table.resolution, table.channels, table.classes) == (resolution, in_channels, classes) {
            return Ok(Some(measured));
        }
        let input = |resolution, channels, classes| {
            format!("{resolution} px, {channels} channels and {classes} classes")
        };
        Err(LatencyTableError::OtherInput {
            origin: table.origin.clone(),
            found: input(table.resolution, table.channels, table.classes),
            expected: input(resolution, in_channels, classes),
            flags: format!(
                "--space {} --resolution {resolution} --channels {in_channels} --classes {classes}",
                self.name
            ),
        })
    }

    /// The names of all blocks that networks of the space are made of.
    fn block_names(&self) -> Vec<String> {
        let chosen = self.places().flat_map(|place| {
            let (stage, block) = (place.stage, place.block);
            (0..self.operations.len()).map(move |op| format!("stages.{stage}.{block}.{op}"))
        });
        FIXED
            .iter()
            .map(|&name| name.to_owned())
            .chain(chosen)
            .collect()
    }
}

/// The blocks that every network has.
const FIXED: [&str; 5] = ["stem", "first", "last", "head", "classifier"];
