//! SVG as text, element by element.

use std::fmt::Write;

use super::Theme;
use super::palette::{Colour, PAPER};

/// Where a text's place lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    /// Pixels.
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: Colour,
}

/// The elements of a picture so far.
#[derive(Debug)]
pub(super) struct Svg {
    theme: Theme,
    elements: String,
}

/// What is told of an element where it is pointed at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tip<'a> {
    /// What it is, such as an architecture: `data-name`.
    pub(super) name: &'a str,
    /// Its numbers: `data-x` and `data-y`.
    pub(super) at: Option<[f64; 2]>,
    /// All of it in words, in lines.
    pub(super) title: &'a str,
}

impl Svg {
    pub(super) fn new(theme: Theme) -> Self {
        Self {
            theme,
            elements: String::new(),
        }
    }

    fn paint(&self, colour: Colour) -> String {
        colour.paint(self.theme)
    }

    /// A hairline.
    pub(super) fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], colour: Colour) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(short);
        let colour = self.paint(colour);
        self.push(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>"#
        ));
    }

    /// A line of text; `y` is its base line.
    pub(super) fn text(&mut self, text: &str, at: [f64; 2], anchor: Anchor, font: Font) {
        self.turned_text(text, at, anchor, font, 0.0);
    }

    /// A line of text over other things, from which a rim of paper sets it apart.
    pub(super) fn label(&mut self, text: &str, at: [f64; 2], anchor: Anchor, font: Font) {
        let paper = self.paint(PAPER);
        self.push(format_args!(
            r#"<g stroke="{paper}" stroke-width="3" stroke-linejoin="round" paint-order="stroke">"#
        ));
        self.text(text, at, anchor, font);
        self.push(format_args!("</g>"));
    }

    /// A line of text, turned about the place of its anchor by so many degrees.
    pub(super) fn turned_text(
        &mut self,
        text: &str,
        [x, y]: [f64; 2],
        anchor: Anchor,
        font: Font,
        degrees: f64,
    ) {
        let ([x, y], size) = ([x, y].map(short), font.size);
        let (anchor, colour, text) = (anchor.name(), self.paint(font.colour), escaped(text));
        let weight = if font.bold {
            r#" font-weight="600""#
        } else {
            ""
        };
        let turn = match degrees {
            0.0 => String::new(),
            _ => format!(r#" transform="rotate({degrees} {x} {y})""#),
        };
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}"{weight} fill="{colour}" text-anchor="{anchor}"{turn}>{text}</text>"#
        ));
    }

    /// A disc that tells of itself when it is pointed at.
    pub(super) fn disc(
        &mut self,
        [x, y]: [f64; 2],
        radius: f64,
        colour: Colour,
        opacity: f64,
        tip: Tip<'_>,
    ) {
        let [x, y] = [x, y].map(short);
        let (colour, paper, told) = (self.paint(colour), self.paint(PAPER), self.told(tip));
        let (data, title) = told;
        self.push(format_args!(
            r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}" fill-opacity="{opacity}" stroke="{paper}"{data}>{title}</circle>"#
        ));
    }

    /// A place of a curve that tells of itself when it is pointed at, and is not seen otherwise.
    pub(super) fn spot(&mut self, [x, y]: [f64; 2], tip: Tip<'_>) {
        let ([x, y], (data, title)) = ([x, y].map(short), self.told(tip));
        self.push(format_args!(
            r#"<circle cx="{x}" cy="{y}" r="7" fill="transparent"{data}>{title}</circle>"#
        ));
    }

    /// A rectangle with corners of `radius`, that tells of itself when it is pointed at.
    pub(super) fn rect(
        &mut self,
        [x, y]: [f64; 2],
        [width, height]: [f64; 2],
        radius: f64,
        colour: Colour,
        opacity: f64,
        tip: Tip<'_>,
    ) {
        let [x, y, width, height, opacity] = [x, y, width, height, opacity].map(short);
        let (colour, (data, title)) = (self.paint(colour), self.told(tip));
        let round = match radius {
            0.0 => String::new(),
            _ => format!(r#" rx="{radius}""#),
        };
        let clear = match opacity {
            1.0 => String::new(),
            _ => format!(r#" fill-opacity="{opacity}""#),
        };
        let open = format!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}"{round} fill="{colour}"{clear}{data}"#
        );
        match title.is_empty() {
            true => self.push(format_args!("{open}/>")),
            false => self.push(format_args!("{open}>{title}</rect>")),
        }
    }

    /// The outline of a rectangle.
    pub(super) fn outline(
        &mut self,
        [x, y]: [f64; 2],
        [width, height]: [f64; 2],
        radius: f64,
        colour: Colour,
        thickness: f64,
    ) {
        let ([x, y, width, height], colour) =
            ([x, y, width, height].map(short), self.paint(colour));
        self.push(format_args!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="none" stroke="{colour}" stroke-width="{thickness}"/>"#
        ));
    }

    /// A line through points.
    pub(super) fn path(&mut self, points: &[[f64; 2]], colour: Colour, stroke: Stroke) {
        let (d, colour) = (path(points), self.paint(colour));
        let Stroke {
            thickness,
            opacity,
            dashed,
        } = stroke;
        let dashes = if dashed {
            r#" stroke-dasharray="5 4""#
        } else {
            ""
        };
        self.push(format_args!(
            r#"<path d="{d}" fill="none" stroke="{colour}" stroke-width="{thickness}" stroke-opacity="{opacity}" stroke-linejoin="round"{dashes}/>"#
        ));
    }

    /// An area within points.
    pub(super) fn area(&mut self, points: &[[f64; 2]], colour: Colour, opacity: f64) {
        let (d, colour) = (path(points), self.paint(colour));
        self.push(format_args!(
            r#"<path d="{d}Z" fill="{colour}" fill-opacity="{opacity}"/>"#
        ));
    }

    /// The picture, of so many pixels; `label` is what it is called where it cannot be seen.
    pub(super) fn finish(self, [width, height]: [f64; 2], label: &str) -> String {
        let ([width, height], label) = ([width, height].map(short), escaped(label));
        let (head, ground) = match self.theme {
            Theme::Paper => (
                format!(
                    r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}""#
                ),
                format!(
                    "<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n",
                    self.paint(PAPER)
                ),
            ),
            Theme::Page => (
                format!(r#"<svg class="chart" viewBox="0 0 {width} {height}""#),
                String::new(),
            ),
        };
        format!(
            "{head} font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\" role=\"img\" aria-label=\"{label}\">\n{ground}{}</svg>\n",
            self.elements,
        )
    }

    /// The attributes and the child of an element that tells of itself.
    fn told(&self, tip: Tip<'_>) -> (String, String) {
        let mut data = String::new();
        if self.theme == Theme::Page {
            if !tip.name.is_empty() {
                data.push_str(&format!(r#" data-name="{}""#, escaped(tip.name)));
            }
            if let Some([x, y]) = tip.at {
                data.push_str(&format!(r#" data-x="{x}" data-y="{y}""#));
            }
        }
        let title = match tip.title {
            "" => String::new(),
            title => format!("<title>{}</title>", escaped(title)),
        };
        (data, title)
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.elements, "{element}").expect("a string takes all text");
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    pub(super) thickness: f64,
    pub(super) opacity: f64,
    pub(super) dashed: bool,
}

/// Points as the commands of a path.
fn path(points: &[[f64; 2]]) -> String {
    let mut d = String::new();
    for (i, [x, y]) in points.iter().enumerate() {
        let (command, x, y) = (if i == 0 { 'M' } else { 'L' }, tenth(*x), tenth(*y));
        write!(d, "{command}{x} {y}").expect("a string takes all text");
    }
    d
}

/// A number of pixels to a tenth, fine enough within a curve of hundreds of points.
fn tenth(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0 + 0.0
}

/// A number of pixels to a hundredth, which is as fine as anyone can see.
fn short(pixels: f64) -> f64 {
    // The sum makes 0 of -0.
    (pixels * 100.0).round() / 100.0 + 0.0
}

/// Text as it may stand in an element or in an attribute's double quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            // Characters that XML has no way to write.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => safe.push(char::REPLACEMENT_CHARACTER),
            _ => safe.push(c),
        }
    }
    safe
}
