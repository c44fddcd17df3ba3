//! A network, block by block.

use creamery_space::{Layer, LayerSpec};

use super::frame::{EDGE, PAGE_WIDTH, PLAIN, caption, heading};
use super::palette::{BLUE, Colour, GREY, GRID, INK, PAPER, series as colour_of};
use super::svg::{Anchor, Font, Stroke, Svg, Tip};
use super::text::width;
use super::{ChartError, Theme};
use crate::rounded_count;

/// The height of a block, and of the room that it is in.
const BLOCK: f64 = 19.0;
const ROW: f64 = 24.0;

/// Where the blocks are, and the widest of them.
const BLOCKS: f64 = 76.0;
const WIDEST: f64 = 130.0;

/// Where the columns beside the blocks end, and where the bars begin.
const CHANNELS: f64 = 266.0;
const PIXELS: f64 = 304.0;
const BARS: f64 = 316.0;

/// A network drawn from its input down, block by block: kernel, expansion, channels, pixels a side, share of the MACs.
///
/// The colour of a block is that of its kernel, its width that of its expansion; an arc marks blocks that add their
/// input to their output.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What the network is.
    pub title: String,
    /// Its layers, as [`Space::layers`](creamery_space::Space::layers) has them.
    pub layers: Vec<Layer>,
    /// What follows from it, below; may be empty.
    pub caption: String,
}

impl Network {
    /// The chart as a fragment of a page.
    ///
    /// # Errors
    /// [`ChartError::Empty`] if there are no layers.
    pub fn svg(&self) -> Result<String, ChartError> {
        if self.layers.is_empty() {
            return Err(ChartError::Empty(self.title.clone()));
        }
        let all: u64 = self.layers.iter().map(|layer| layer.cost.macs).sum();
        let share = |layer: &Layer| layer.cost.macs as f64 / all.max(1) as f64;
        let largest = self.layers.iter().map(&share).fold(0.0, f64::max);
        let mut svg = Svg::new(Theme::Page);
        let mut y = heading(&mut svg, &self.title, PAGE_WIDTH) + 14.0;
        for (text, x, anchor) in [
            ("block", BLOCKS, Anchor::Start),
            ("channels", CHANNELS, Anchor::End),
            ("px", PIXELS, Anchor::End),
            ("share of MACs", BARS, Anchor::Start),
        ] {
            svg.text(text, [x, y], anchor, PLAIN);
        }
        y += 8.0;
        let mut stage = None;
        for layer in &self.layers {
            let of = layer.choice.map(|(stage, ..)| stage);
            if of != stage {
                svg.line([EDGE, y + 1.0], [PAGE_WIDTH - EDGE, y + 1.0], GRID);
                y += 3.0;
                if let Some(number) = of {
                    let name = format!("stage {}", number + 1);
                    svg.text(&name, [EDGE, y + 0.5 * ROW + 4.5], Anchor::Start, PLAIN);
                }
                stage = of;
            }
            row(&mut svg, layer, y, share(layer), largest);
            y += ROW;
        }
        let bottom = caption(&mut svg, &self.caption, y, PAGE_WIDTH);
        Ok(svg.finish([PAGE_WIDTH, bottom + EDGE], &self.title))
    }
}

fn row(svg: &mut Svg, layer: &Layer, y: f64, share: f64, largest: f64) {
    let Block {
        text,
        colour,
        size,
        says,
    } = block(layer);
    let middle = y + 0.5 * ROW;
    let says = format!(
        "{}: {says}\n{} → {} channels, {} → {} px\n{} MACs ({:.1}%), {} parameters",
        layer.name,
        layer.spec.in_channels(),
        layer.spec.out_channels(),
        layer.input_size,
        layer.output_size,
        rounded_count(layer.cost.macs),
        100.0 * share,
        rounded_count(layer.cost.params),
    );
    let tip = Tip {
        name: &layer.name,
        at: None,
        title: &says,
    };
    let corner = [BLOCKS, middle - 0.5 * BLOCK];
    let fixed = colour == GREY;
    let opacity = if fixed { 0.22 } else { 1.0 };
    svg.rect(corner, [size, BLOCK], 4.0, colour, opacity, tip);
    let font = Font {
        size: 11.5,
        bold: !fixed,
        colour: if fixed { INK } else { PAPER },
    };
    let inside = width(&text, font) + 12.0 <= size;
    match inside {
        true => svg.text(&text, [BLOCKS + 7.0, middle + 4.0], Anchor::Start, font),
        false => {
            let beside = Font {
                colour: INK,
                ..font
            };
            svg.text(
                &text,
                [BLOCKS + size + 5.0, middle + 4.0],
                Anchor::Start,
                beside,
            );
        }
    }
    if layer.spec.has_residual() {
        let (top, bottom, out) = (middle - 7.5, middle + 7.5, BLOCKS - 6.0);
        let arc = [
            [BLOCKS, top],
            [out, top + 3.0],
            [out, bottom - 3.0],
            [BLOCKS, bottom],
        ];
        let stroke = Stroke {
            thickness: 1.4,
            opacity: 1.0,
            dashed: false,
        };
        svg.path(&arc, GREY, stroke);
    }
    let ink = Font {
        colour: INK,
        ..PLAIN
    };
    let base = middle + 4.5;
    let channels = layer.spec.out_channels().to_string();
    svg.text(&channels, [CHANNELS, base], Anchor::End, ink);
    let pixels = layer.output_size.to_string();
    svg.text(&pixels, [PIXELS, base], Anchor::End, ink);
    let room = PAGE_WIDTH - EDGE - BARS - 40.0;
    let long = (room * share / largest.max(f64::MIN_POSITIVE)).max(1.0);
    svg.rect(
        [BARS, middle - 5.0],
        [long, 10.0],
        1.5,
        BLUE,
        0.55,
        Tip::default(),
    );
    let percent = match 100.0 * share {
        percent if percent < 0.95 => "<1%".to_owned(),
        percent => format!("{percent:.0}%"),
    };
    svg.text(&percent, [BARS + long + 5.0, base], Anchor::Start, PLAIN);
}

/// How a block looks.
struct Block {
    text: String,
    colour: Colour,
    size: f64,
    says: String,
}

fn block(layer: &Layer) -> Block {
    let with = |squeeze: usize, text: String| match squeeze {
        0 => text,
        _ => format!("{text} SE"),
    };
    let fixed = |text: String, says: String| Block {
        text,
        colour: GREY,
        size: 0.72 * WIDEST,
        says,
    };
    match layer.spec {
        LayerSpec::InvertedResidual {
            in_channels,
            mid_channels,
            kernel,
            stride,
            squeeze,
            ..
        } => {
            let ratio = mid_channels as f64 / in_channels.max(1) as f64;
            let ratio_text = format!("{ratio:.1}");
            let ratio_text = ratio_text.trim_end_matches(".0");
            Block {
                text: with(squeeze, format!("{kernel}×{kernel} ×{ratio_text}")),
                colour: colour_of(kernel.saturating_sub(3) / 2),
                // Up to an expansion of 6 the width is in proportion.
                size: WIDEST * (0.55 + 0.45 * (ratio / 6.0).min(1.0)),
                says: format!(
                    "inverted residual, kernel {kernel}×{kernel}, expansion {ratio_text} ({mid_channels} channels inside), stride {stride}{}",
                    if squeeze > 0 { ", squeeze-excite" } else { "" }
                ),
            }
        }
        LayerSpec::DepthwiseSeparable {
            kernel,
            squeeze,
            stride,
            ..
        } => fixed(
            with(squeeze, format!("{kernel}×{kernel} dw")),
            format!("depthwise-separable block, kernel {kernel}×{kernel}, stride {stride}"),
        ),
        LayerSpec::ConvNorm { kernel, stride, .. } => fixed(
            format!("{kernel}×{kernel} conv"),
            format!("convolution, kernel {kernel}×{kernel}, stride {stride}"),
        ),
        LayerSpec::Head { .. } => fixed("pool, 1×1".into(), "pool and 1×1 convolution".into()),
        LayerSpec::Classifier { .. } => fixed("classifier".into(), "linear layer".into()),
    }
}
