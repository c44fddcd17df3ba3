//! The colours of all charts.

/// What is drawn on.
pub(super) const PAPER: &str = "#ffffff";
/// Text that is read first.
pub(super) const INK: &str = "#222222";
/// Text that explains: titles of axes, ticks, captions.
pub(super) const GREY: &str = "#595959";
/// Lines to measure by.
pub(super) const GRID: &str = "#e6e6e6";

// From Okabe and Ito's palette, whose colours are told apart in every common form of colour blindness.

/// The data.
pub(super) const BLUE: &str = "#0072b2";
/// What among the data is pointed out.
pub(super) const VERMILION: &str = "#d55e00";
