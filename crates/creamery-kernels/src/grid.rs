//! How work is cut, and in which order it is done.
//!
//! A feature map is cut into blocks of channels and, where it is large, into chunks of images as well.
//! The cuts depend on the shape alone, and what chunks sum is put together in their order, so that
//! results do not depend on the number of threads.

use crate::team::for_each;
use std::ops::Range;

/// Most blocks of channels in a group: what one tile of a matrix product covers.
const WIDEST_GROUP: usize = 3;

/// Chunks of images, where there are enough of them.
const CHUNKS: usize = 8;

/// Groups of channels from which on they alone keep the threads busy.
const ENOUGH_GROUPS: usize = 5;

/// Floats of a group's feature map up to which a task goes through several phases at once.
const SMALL_MAP: usize = 1 << 18;

/// A feature map's tasks: each a group of channel blocks of a chunk of images.
#[derive(Debug)]
pub(crate) struct Grid {
    /// Ranges of channel blocks.
    pub(crate) groups: Vec<Range<usize>>,
    /// Ranges of images.
    pub(crate) chunks: Vec<Range<usize>>,
}

/// Part of the work on a grid: a task for each group and chunk, then what joins a group's chunks.
pub(crate) struct Phase<'a> {
    /// Works on a group of blocks and the chunk of this number.
    pub(crate) task: &'a (dyn Fn(&Range<usize>, usize) + Sync),
    /// Joins the chunks of a group.
    pub(crate) join: &'a (dyn Fn(&Range<usize>) + Sync),
    /// What the calling thread does when all groups are joined, where there is something: groups then wait for each
    /// other.
    pub(crate) all: Option<&'a (dyn Fn() + Sync)>,
}

/// `count` things in `parts` ranges whose lengths differ by at most one.
fn split(count: usize, parts: usize) -> Vec<Range<usize>> {
    let parts = parts.clamp(1, count.max(1));
    (0..parts)
        .map(|part| count * part / parts..count * (part + 1) / parts)
        .collect()
}

impl Grid {
    /// The grid of a feature map of `blocks` blocks of channels, `images` images and `pixels` of each.
    pub(crate) fn new(blocks: usize, images: usize, pixels: usize) -> Self {
        let width = if blocks >= WIDEST_GROUP * 2 * ENOUGH_GROUPS {
            WIDEST_GROUP
        } else {
            2.min(blocks)
        };
        let whole = blocks.div_ceil(width) >= ENOUGH_GROUPS
            && images * pixels * width * crate::simd::LANES <= SMALL_MAP;
        if whole {
            Self {
                groups: split(blocks, blocks.div_ceil(width)),
                chunks: split(images, 1),
            }
        } else {
            Self {
                groups: split(blocks, blocks.div_ceil(WIDEST_GROUP)),
                chunks: split(images, CHUNKS),
            }
        }
    }

    /// Values of each channel in each chunk, where an image has `pixels`.
    pub(crate) fn counts(&self, pixels: usize) -> Vec<usize> {
        self.chunks
            .iter()
            .map(|chunk| chunk.len() * pixels)
            .collect()
    }

    /// Runs the phases one after the other. With one chunk a group needs not wait for the others, and
    /// goes through all phases at once, while its values are in cache.
    pub(crate) fn run(&self, phases: &[Phase<'_>]) {
        if self.chunks.len() == 1 && phases.iter().all(|phase| phase.all.is_none()) {
            for_each(self.groups.len(), &|group| {
                for phase in phases {
                    (phase.task)(&self.groups[group], 0);
                    (phase.join)(&self.groups[group]);
                }
            });
            return;
        }
        for phase in phases {
            for_each(self.groups.len() * self.chunks.len(), &|task| {
                (phase.task)(
                    &self.groups[task / self.chunks.len()],
                    task % self.chunks.len(),
                );
            });
            for_each(self.groups.len(), &|group| {
                (phase.join)(&self.groups[group])
            });
            if let Some(all) = phase.all {
                all();
            }
        }
    }
}

/// Multiplications below which it is not worth waking another thread.
const SMALL_WORK: usize = 1 << 17;

/// Groups of `blocks` blocks of channels for a product of `work` multiplications.
pub(crate) fn groups(blocks: usize, work: usize) -> Vec<Range<usize>> {
    if work <= SMALL_WORK {
        return split(blocks, 1);
    }
    split(blocks, blocks.div_ceil(WIDEST_GROUP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team::together;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_grid_covers_every_block_and_image_once() {
        for (blocks, images, pixels) in [
            (1, 1, 1),
            (1, 64, 256),
            (6, 3, 12_544),
            (9, 64, 64),
            (72, 64, 1),
            (31, 5, 49),
        ] {
            let grid = Grid::new(blocks, images, pixels);
            assert_eq!(
                grid.groups.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..blocks).collect::<Vec<_>>()
            );
            assert_eq!(
                grid.chunks.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..images).collect::<Vec<_>>()
            );
            assert!(
                grid.groups
                    .iter()
                    .all(|g| (1..=WIDEST_GROUP).contains(&g.len()))
            );
            assert!(grid.chunks.iter().all(|c| !c.is_empty()));
        }
    }

    #[test]
    fn every_task_runs_once_and_a_phase_waits_for_the_one_before() {
        for grid in [Grid::new(2, 8, 1000), Grid::new(20, 8, 1)] {
            let done = AtomicUsize::new(0);
            let tasks = grid.groups.len() * grid.chunks.len();
            together(|| {
                grid.run(&[
                    Phase {
                        task: &|_, _| _ = done.fetch_add(1, Ordering::SeqCst),
                        join: &|_| {},
                        all: None,
                    },
                    Phase {
                        task: &|_, _| {
                            if grid.chunks.len() > 1 {
                                assert_eq!(done.load(Ordering::SeqCst), tasks);
                            }
                        },
                        join: &|_| {},
                        all: None,
                    },
                ]);
            });
            assert_eq!(done.load(Ordering::SeqCst), tasks);
        }
    }
}
