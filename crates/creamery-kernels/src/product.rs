//! Matrix products `C = A B` on the blocked layout, without packing.
//!
//! A tile of C, 8 rows by up to 48 columns (4 by 16 where registers are narrow), stays in registers
//! while the products over k run: for each k the tile's columns of B are loaded and each of its rows of A
//! is spread over a vector. A and B are read where they lie: the blocked layout is already what
//! other matrix products pack their operands into. Column sums, which batch norm needs, are taken while
//! a tile is still in registers.
//!
//! Not for large dense products: there is no blocking over k or over B's columns, because in these
//! networks a panel of B (k by 48) fits into the second level of cache.

use crate::isa::{Kernel, Proof};
use crate::shared::View;
use crate::simd::{LANES, Simd};

/// The left operand, `A[m][k]`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    /// The values, from `A[0][0]` on.
    pub(crate) values: View<'a>,
    /// Which of the two indices lies along a block's 16 values, and which counts its rows.
    pub(crate) order: Order,
    /// Floats from one row of 16 to the next.
    pub(crate) row: usize,
    /// Floats from one block to the next.
    pub(crate) block: usize,
}

/// How a [`Left`] operand lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `A[m][k]` at `k / 16 * block + m * row + k % 16`.
    ByRows,
    /// `A[m][k]` at `m / 16 * block + k * row + m % 16`.
    ByColumns,
}

/// The right operand: `B[k][n]` at `n / 16 * block + k * row + n % 16`.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    /// The values, from `B[0][0]` on.
    pub(crate) values: View<'a>,
    /// Floats from one row to the next.
    pub(crate) row: usize,
    /// Floats from one block of 16 columns to the next.
    pub(crate) block: usize,
    /// Whether the last block holds all of 16 columns, rather than only those below n.
    pub(crate) whole: bool,
}

/// The result: `C[m][n]` at `n / 16 * block + m * row + n % 16`.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The address of `C[0][0]`.
    pub(crate) at: *mut f32,
    /// Floats from one row to the next.
    pub(crate) row: usize,
    /// Floats from one block of 16 columns to the next.
    pub(crate) block: usize,
    /// Whether the last block has all of 16 columns, rather than only those below n.
    pub(crate) whole: bool,
}

/// What the products are added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Nothing.
    Zero,
    /// What C holds.
    Held,
    /// What these hold in the places of C.
    Values(View<'a>),
    /// A value for each column (padded to whole blocks).
    Bias(&'a [f32]),
    /// Both.
    BiasAndValues(&'a [f32], View<'a>),
}

/// Sums over the rows of C, for each column (all padded to whole blocks).
struct ColumnSums<'a> {
    /// What is taken away from C before it is summed, so that squares do not cancel.
    shift: &'a [f32],
    /// Grows by the sums of `C - shift`.
    sum: &'a mut [f32],
    /// Grows by the sums of `(C - shift)^2`.
    squares: &'a mut [f32],
}

/// A product to carry out.
pub(crate) struct Product<'a> {
    /// Rows of A and C.
    pub(crate) m: usize,
    /// Columns of B and C.
    pub(crate) n: usize,
    /// Columns of A, rows of B.
    pub(crate) k: usize,
    pub(crate) a: Left<'a>,
    pub(crate) b: Right<'a>,
    c: Target,
    pub(crate) start: Start<'a>,
    sums: Option<ColumnSums<'a>>,
}

impl<'a> Product<'a> {
    /// `C = A B` with A of m rows, B of n columns and k between them.
    ///
    /// # Panics
    /// If A or B is shorter than that.
    ///
    /// # Safety
    /// Until the product has been run, all of C's places must be valid for reads and writes and no other task
    /// may use them, and no task may write the places of A and B.
    pub(crate) unsafe fn new([m, n, k]: [usize; 3], a: Left<'a>, b: Right<'a>, c: Target) -> Self {
        if m > 0 && n > 0 && k > 0 {
            let (along, rows) = if a.order == Order::ByRows {
                (k, m)
            } else {
                (m, k)
            };
            let last = (along - 1) / LANES * a.block + (rows - 1) * a.row + (along - 1) % LANES;
            assert!(
                last < a.values.len(),
                "the left operand is short of {m} x {k}"
            );
            let lane = if b.whole { LANES - 1 } else { (n - 1) % LANES };
            let last = (n - 1) / LANES * b.block + (k - 1) * b.row + lane;
            assert!(
                last < b.values.len(),
                "the right operand is short of {k} x {n}"
            );
        }
        Self {
            m,
            n,
            k,
            a,
            b,
            c,
            start: Start::Zero,
            sums: None,
        }
    }

    /// The same product, added to `start`.
    pub(crate) fn start(mut self, start: Start<'a>) -> Self {
        if let Start::Bias(bias) | Start::BiasAndValues(bias, _) = start {
            let columns = self.n.next_multiple_of(LANES);
            assert!(bias.len() >= columns, "a bias covers the columns");
        }
        match start {
            Start::Values(values) | Start::BiasAndValues(_, values) if self.m > 0 && self.n > 0 => {
                let lane = if self.c.whole {
                    LANES - 1
                } else {
                    (self.n - 1) % LANES
                };
                let last = (self.n - 1) / LANES * self.c.block + (self.m - 1) * self.c.row + lane;
                assert!(last < values.len(), "the values cover C");
            }
            _ => {}
        }
        self.start = start;
        self
    }

    /// The same product, its columns summed into `[shift, sum, squares]`. Sums that begin take the first row
    /// of C as their shift.
    pub(crate) fn sums(
        mut self,
        isa: Proof,
        [shift, sum, squares]: [&'a mut [f32]; 3],
        begin: bool,
    ) -> Self {
        let columns = self.n.next_multiple_of(LANES);
        let covered = [shift.len(), sum.len(), squares.len()]
            .iter()
            .all(|len| *len >= columns);
        assert!(covered, "the sums cover the columns");
        if begin {
            let c = Target {
                at: shift.as_mut_ptr(),
                row: LANES,
                block: LANES,
                whole: true,
            };
            // SAFETY: `shift` has the columns of one row, in whole blocks, and is ours; nobody writes A and B, as
            // was vouched for this product.
            isa.run(unsafe { Product::new([1, self.n, self.k], self.a, self.b, c) });
        }
        self.sums = Some(ColumnSums {
            shift,
            sum,
            squares,
        });
        self
    }
}

impl Kernel for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.a.order == Order::ByRows {
            panels::<S, false>(s, self)
        } else {
            panels::<S, true>(s, self)
        }
    }
}

/// Cuts C's columns into panels that a tile covers.
#[inline(always)]
fn panels<S: Simd, const BY_COLUMNS: bool>(s: S, mut p: Product<'_>) {
    let blocks = p.n.div_ceil(LANES);
    let mut block = 0;
    while block < blocks {
        let left = blocks - block;
        // Four blocks are better halved than cut into three and one.
        let width = if !S::WIDE {
            1
        } else if left == 4 {
            2
        } else {
            left.min(3)
        };
        match width {
            1 => rows::<S, 1, BY_COLUMNS>(s, &mut p, block),
            2 => rows::<S, 2, BY_COLUMNS>(s, &mut p, block),
            _ => rows::<S, 3, BY_COLUMNS>(s, &mut p, block),
        }
        block += width;
    }
}

/// Cuts a panel's rows into tiles.
#[inline(always)]
fn rows<S: Simd, const NR: usize, const BY_COLUMNS: bool>(s: S, p: &mut Product<'_>, block: usize) {
    let mut row = 0;
    if S::WIDE {
        while p.m - row >= 8 {
            tile::<S, 8, NR, BY_COLUMNS>(s, p, row, block);
            row += 8;
        }
    }
    while p.m - row >= 4 {
        tile::<S, 4, NR, BY_COLUMNS>(s, p, row, block);
        row += 4;
    }
    if p.m - row >= 2 {
        tile::<S, 2, NR, BY_COLUMNS>(s, p, row, block);
        row += 2;
    }
    if p.m > row {
        tile::<S, 1, NR, BY_COLUMNS>(s, p, row, block);
    }
}

/// A tile of C: `MR` rows from `row` on, `NR` blocks of columns from `block` on.
#[inline(always)]
fn tile<S: Simd, const MR: usize, const NR: usize, const BY_COLUMNS: bool>(
    s: S,
    p: &mut Product<'_>,
    row: usize,
    block: usize,
) {
    // Lanes of the panel's last block that exist in B and in C.
    let lanes = (p.n - (block + NR - 1) * LANES).min(LANES);
    let b_lanes = if p.b.whole { LANES } else { lanes };
    let c_lanes = if p.c.whole { LANES } else { lanes };
    let mut acc = [[s.splat(0.0); NR]; MR];
    // SAFETY: the block exists in C, whose places are ours by the contract of `new`.
    let c = unsafe { p.c.at.add(block * p.c.block + row * p.c.row) };
    match p.start {
        Start::Zero => {}
        Start::Held | Start::Values(_) | Start::BiasAndValues(..) => {
            let from = match p.start {
                Start::Values(values) | Start::BiasAndValues(_, values) => values
                    .pointer()
                    .wrapping_add(block * p.c.block + row * p.c.row),
                _ => c.cast_const(),
            };
            for (i, acc) in acc.iter_mut().enumerate() {
                for (j, acc) in acc.iter_mut().enumerate() {
                    let at = from.wrapping_add(i * p.c.row + j * p.c.block);
                    // SAFETY: a place of C, or of values that `start` checked to have C's places, and of
                    // its last block only the lanes that exist.
                    *acc = unsafe {
                        if j + 1 == NR {
                            s.load_part(at, c_lanes)
                        } else {
                            s.load(at)
                        }
                    };
                }
            }
        }
        Start::Bias(_) => {}
    }
    if let Start::Bias(bias) | Start::BiasAndValues(bias, _) = p.start {
        for acc in &mut acc {
            for (j, acc) in acc.iter_mut().enumerate() {
                // SAFETY: `start` checked that the bias covers all blocks.
                *acc = s.add(*acc, unsafe {
                    s.load(bias.as_ptr().add((block + j) * LANES))
                });
            }
        }
    }
    // The addresses below lie in A and B, whose extents `new` checked for every m, n and k.
    let b = p.b.values.pointer().wrapping_add(block * p.b.block);
    if BY_COLUMNS {
        let a =
            p.a.values
                .pointer()
                .wrapping_add(row / LANES * p.a.block + row % LANES);
        if b_lanes == LANES {
            along::<S, MR, NR, false>(s, &mut acc, p.k, [a, b], [1, p.a.row], p, LANES);
        } else {
            along::<S, MR, NR, true>(s, &mut acc, p.k, [a, b], [1, p.a.row], p, b_lanes);
        }
    } else {
        let a = p.a.values.pointer().wrapping_add(row * p.a.row);
        let mut k = 0;
        while k < p.k {
            let a = a.wrapping_add(k / LANES * p.a.block);
            let b = b.wrapping_add(k * p.b.row);
            let run = (p.k - k).min(LANES);
            if b_lanes == LANES {
                along::<S, MR, NR, false>(s, &mut acc, run, [a, b], [p.a.row, 1], p, LANES);
            } else {
                along::<S, MR, NR, true>(s, &mut acc, run, [a, b], [p.a.row, 1], p, b_lanes);
            }
            k += LANES;
        }
    }
    for (i, acc) in acc.iter().enumerate() {
        for (j, acc) in acc.iter().enumerate() {
            // SAFETY: a place of C, and of its last block only the lanes that exist.
            unsafe {
                let at = c.add(i * p.c.row + j * p.c.block);
                if j + 1 == NR && c_lanes < LANES {
                    s.store_part(at, *acc, c_lanes)
                } else {
                    s.store(at, *acc)
                }
            }
        }
    }
    if let Some(sums) = &mut p.sums {
        for j in 0..NR {
            let at = (block + j) * LANES;
            // SAFETY: `sums` checked that all three cover all blocks.
            unsafe {
                let shift = s.load(sums.shift.as_ptr().add(at));
                let mut sum = s.load(sums.sum.as_ptr().add(at));
                let mut squares = s.load(sums.squares.as_ptr().add(at));
                for acc in &acc {
                    let centred = s.sub(acc[j], shift);
                    sum = s.add(sum, centred);
                    squares = s.fma(centred, centred, squares);
                }
                s.store(sums.sum.as_mut_ptr().add(at), sum);
                s.store(sums.squares.as_mut_ptr().add(at), squares);
            }
        }
    }
}

/// Adds `count` products to a tile: `a` steps by `[row, k]` strides, `b` by its rows.
#[inline(always)]
fn along<S: Simd, const MR: usize, const NR: usize, const PART: bool>(
    s: S,
    acc: &mut [[S::V; NR]; MR],
    count: usize,
    [a, b]: [*const f32; 2],
    [a_row, a_k]: [usize; 2],
    p: &Product<'_>,
    lanes: usize,
) {
    let (mut a, mut b) = (a, b);
    for _ in 0..count {
        // SAFETY: the places lie in A and B: `new` checked the last m, n and k of both.
        unsafe {
            let mut columns = [s.splat(0.0); NR];
            for (j, column) in columns.iter_mut().enumerate() {
                let at = b.add(j * p.b.block);
                *column = if PART && j + 1 == NR {
                    s.load_part(at, lanes)
                } else {
                    s.load(at)
                };
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let value = s.splat(*a.add(i * a_row));
                for (acc, column) in acc.iter_mut().zip(columns) {
                    *acc = s.fma(value, column, *acc);
                }
            }
        }
        a = a.wrapping_add(a_k);
        b = b.wrapping_add(p.b.row);
    }
}

/// Packs rows `W[n][k]` (k contiguous) as the right operand `W^T` of a product: `[n / 16][k][16]`.
pub(crate) struct Transpose<'a> {
    /// The rows, one after the other.
    pub(crate) from: &'a [f32],
    /// Values of a row.
    pub(crate) k: usize,
    /// All rows' blocks; missing rows become zeros.
    pub(crate) to: &'a mut [f32],
}

impl Kernel for Transpose<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, k, to } = self;
        let rows = from.len() / k;
        assert_eq!(from.len(), rows * k, "whole rows are packed");
        assert_eq!(
            to.len(),
            rows.div_ceil(LANES) * LANES * k,
            "the blocks fit the rows"
        );
        for (block, to) in to.chunks_exact_mut(LANES * k).enumerate() {
            let first = block * LANES;
            let height = (rows - first).min(LANES);
            for column in (0..k).step_by(LANES) {
                let width = (k - column).min(LANES);
                let mut square = [s.splat(0.0); LANES];
                if height == LANES && width == LANES {
                    for (i, row) in square.iter_mut().enumerate() {
                        // SAFETY: the row exists and has 16 more values.
                        *row = unsafe { s.load(from.as_ptr().add((first + i) * k + column)) };
                    }
                } else {
                    for (i, row) in square.iter_mut().enumerate().take(height) {
                        // SAFETY: the row exists and has `width` more values.
                        *row = unsafe {
                            s.load_part(from.as_ptr().add((first + i) * k + column), width)
                        };
                    }
                }
                for (i, values) in s.transpose(square).iter().enumerate().take(width) {
                    // SAFETY: the block holds k rows of 16.
                    unsafe { s.store(to.as_mut_ptr().add((column + i) * LANES), *values) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, isa, with_isa};
    use proptest::prelude::*;
    use rand::RngExt;

    fn values(seed: u64, len: usize) -> Vec<f32> {
        let mut rng = creamery_rng::stream(seed, "product tests", len as u64);
        (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// Where `[row][column]` lies in blocks of 16 columns, `rows` rows each.
    fn blocked(rows: usize, row: usize, column: usize) -> usize {
        column / LANES * rows * LANES + row * LANES + column % LANES
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Any operands on the blocked layout, whatever the product is added to.
        #[test]
        fn products_equal_the_naive_one(
            (m, n, k) in (1usize..40, 1usize..90, 1usize..50),
            by_columns in any::<bool>(),
            start in 0..5,
            seed in any::<u64>(),
        ) {
            let (n_padded, m_padded, k_padded) =
                (n.next_multiple_of(LANES), m.next_multiple_of(LANES), k.next_multiple_of(LANES));
            let a = values(seed, (m * k_padded).max(m_padded * k));
            let at = |i: usize, kk: usize| if by_columns { blocked(k, kk, i) } else { blocked(m, i, kk) };
            let mut b = values(seed ^ 1, k * n_padded);
            for kk in 0..k {
                (n..n_padded).for_each(|j| b[blocked(k, kk, j)] = 0.0);
            }
            let (c, bias, shift) = (values(seed ^ 2, m * n_padded), values(seed ^ 3, n_padded), values(seed ^ 4, n_padded));
            let held = values(seed ^ 5, m * n_padded);
            for isa in Isa::available() {
                let (mut found, mut sum, mut squares) = (c.clone(), vec![0.0; n_padded], vec![0.0; n_padded]);
                let order = if by_columns { Order::ByColumns } else { Order::ByRows };
                let block = if by_columns { k } else { m } * LANES;
                let left = Left { values: a[..].into(), order, row: LANES, block };
                let right = Right { values: b[..].into(), row: LANES, block: k * LANES, whole: true };
                let target = Target { at: found.as_mut_ptr(), row: LANES, block: m * LANES, whole: true };
                let start = match start {
                    0 => Start::Zero,
                    1 => Start::Held,
                    2 => Start::Bias(&bias),
                    3 => Start::Values(held[..].into()),
                    _ => Start::BiasAndValues(&bias, held[..].into()),
                };
                let mut about = shift.clone();
                let sums = [&mut about[..], &mut sum, &mut squares];
                // SAFETY: `found` holds m rows of all blocks, and is ours.
                let product = unsafe { Product::new([m, n, k], left, right, target) }.start(start);
                with_isa(isa, || isa::current().run(product.sums(isa::current(), sums, false)));
                for j in 0..n {
                    let (mut all, mut all_squares) = (0.0, 0.0);
                    for i in 0..m {
                        let begin = match start {
                            Start::Zero => 0.0,
                            Start::Held => c[blocked(m, i, j)],
                            Start::Bias(bias) => bias[j],
                            Start::Values(_) => held[blocked(m, i, j)],
                            Start::BiasAndValues(bias, _) => bias[j] + held[blocked(m, i, j)],
                        };
                        let exact = (0..k).fold(f64::from(begin), |sum, kk| {
                            sum + f64::from(a[at(i, kk)]) * f64::from(b[blocked(k, kk, j)])
                        });
                        let value = f64::from(found[blocked(m, i, j)]);
                        prop_assert!((value - exact).abs() < 1e-5, "{isa:?} [{i}][{j}]: {value}, not {exact}");
                        all += exact - f64::from(shift[j]);
                        all_squares += (exact - f64::from(shift[j])).powi(2);
                    }
                    prop_assert!((f64::from(sum[j]) - all).abs() < 1e-3, "{isa:?} sum {j}");
                    prop_assert!((f64::from(squares[j]) - all_squares).abs() < 1e-3 * all_squares.max(1.0), "{isa:?}");
                }
            }
        }

        /// Rows become packed columns, and missing rows zeros.
        #[test]
        fn transposing_moves_every_value(rows in 1usize..40, k in 1usize..60, seed in any::<u64>()) {
            let from = values(seed, rows * k);
            for isa in Isa::available() {
                let mut to = vec![f32::NAN; rows.next_multiple_of(LANES) * k];
                with_isa(isa, || isa::current().run(Transpose { from: &from, k, to: &mut to }));
                for row in 0..rows.next_multiple_of(LANES) {
                    for kk in 0..k {
                        let exact = if row < rows { from[row * k + kk] } else { 0.0 };
                        prop_assert_eq!(to[blocked(k, kk, row)], exact, "{:?} [{}][{}]", isa, row, kk);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the left operand is short")]
    fn a_short_operand_is_refused() {
        let (a, b, mut c) = ([0.0; 31], [0.0; 32], [0.0; 32]);
        let left = Left {
            values: a[..].into(),
            order: Order::ByRows,
            row: LANES,
            block: 2 * LANES,
        };
        let right = Right {
            values: b[..].into(),
            row: LANES,
            block: 2 * LANES,
            whole: true,
        };
        let target = Target {
            at: c.as_mut_ptr(),
            row: LANES,
            block: 2 * LANES,
            whole: true,
        };
        // SAFETY: C holds two rows of a block.
        unsafe { Product::new([2, 16, 16], left, right, target) };
    }
}
