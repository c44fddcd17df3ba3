//! SVG as text, element by element.

use std::fmt::Write;

use super::palette::PAPER;

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
    pub(super) colour: &'static str,
}

/// The elements of a picture so far.
#[derive(Debug, Default)]
pub(super) struct Svg {
    elements: String,
}

impl Svg {
    /// A hairline.
    pub(super) fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], colour: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(short);
        self.push(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>"#
        ));
    }

    /// A line of text; `y` is its base line.
    pub(super) fn text(&mut self, text: &str, [x, y]: [f64; 2], anchor: Anchor, font: Font) {
        let ([x, y], size) = ([x, y].map(short), font.size);
        let (anchor, colour, text) = (anchor.name(), font.colour, escaped(text));
        let weight = if font.bold {
            r#" font-weight="600""#
        } else {
            ""
        };
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}"{weight} fill="{colour}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// A disc whose `title` shows when it is pointed at.
    pub(super) fn disc(&mut self, [x, y]: [f64; 2], radius: f64, colour: &str, title: &str) {
        let ([x, y], title) = ([x, y].map(short), escaped(title));
        self.push(format_args!(
            r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}" fill-opacity="0.8" stroke="{PAPER}"><title>{title}</title></circle>"#
        ));
    }

    /// The picture, of so many pixels; `label` is what it is called where it cannot be seen.
    pub(super) fn finish(self, [width, height]: [f64; 2], label: &str) -> String {
        let ([width, height], label) = ([width, height].map(short), escaped(label));
        format!(
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}""#,
                r#" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" role="img" aria-label="{label}">"#,
                "\n<rect width=\"100%\" height=\"100%\" fill=\"{paper}\"/>\n{elements}</svg>\n",
            ),
            width = width,
            height = height,
            label = label,
            paper = PAPER,
            elements = self.elements,
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.elements, "{element}").expect("a string takes all text");
    }
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
