//! The colours of all charts.

use super::Theme;

/// A colour in a light and in a dark surrounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    name: &'static str,
    light: &'static str,
    dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

/// What is drawn on.
pub(super) const PAPER: Colour = colour("paper", "#ffffff", "#16191d");
/// Text that is read first.
pub(super) const INK: Colour = colour("ink", "#222222", "#e8eaed");
/// Text that explains: titles of axes, ticks, captions.
pub(super) const GREY: Colour = colour("grey", "#595959", "#a3abb4");
/// Lines to measure by.
pub(super) const GRID: Colour = colour("grid", "#e6e6e6", "#30363d");

// From Okabe and Ito's palette, whose colours are told apart in every common form of colour blindness; on dark paper
// those of its blues and reds that would sink into it are lighter.

/// The data.
pub(super) const BLUE: Colour = colour("blue", "#0072b2", "#56b4e9");
/// What among the data is pointed out.
pub(super) const VERMILION: Colour = colour("vermilion", "#d55e00", "#f0883e");
const GREEN: Colour = colour("green", "#009e73", "#2fc99b");
const PURPLE: Colour = colour("purple", "#b0558a", "#dd95bd");
const ORANGE: Colour = colour("orange", "#c98500", "#e8b13c");

/// Colours of series, in the order in which they are taken.
pub(super) const SERIES: [Colour; 5] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE];

/// The `n`th series' colour; after the last they begin anew.
pub(super) fn series(n: usize) -> Colour {
    SERIES[n % SERIES.len()]
}

impl Colour {
    /// As an attribute of SVG says it.
    pub(super) fn paint(self, theme: Theme) -> String {
        match theme {
            Theme::Paper => self.light.to_owned(),
            Theme::Page => format!("var(--chart-{},{})", self.name, self.light),
        }
    }
}

/// The CSS that pages with charts of [`Theme::Page`] need once: the colours in light, in dark and on paper, and how
/// charts fit their column. A page may set the variables `--chart-*` to others.
pub fn style() -> String {
    let all = [PAPER, INK, GREY, GRID].into_iter().chain(SERIES);
    let set = |pick: fn(&Colour) -> &'static str| {
        all.clone()
            .map(|colour| format!("--chart-{}:{};", colour.name, pick(&colour)))
            .collect::<String>()
    };
    let (light, dark) = (set(|c| c.light), set(|c| c.dark));
    format!(
        ":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n\
         svg.chart{{display:block;width:100%;height:auto}}\n"
    )
}
