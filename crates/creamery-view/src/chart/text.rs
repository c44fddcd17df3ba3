//! How much room text takes, which is not known before a viewer has chosen a font.

use super::svg::Font;

/// About the width in pixels of a line of text: that of wide fonts, so that hardly any needs more.
pub(super) fn width(text: &str, font: Font) -> f64 {
    let ems = text.chars().map(|c| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '(' | ')' | '['
        | ']' => 0.38,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.97,
        'A'..='Z' => 0.7,
        // Scripts whose characters are square.
        '\u{2e80}'.. => 1.0,
        _ => 0.63,
    });
    let weight = if font.bold { 1.1 } else { 1.0 };
    ems.sum::<f64>() * weight * font.size
}

/// The text in lines of at most `limit` pixels.
///
/// Lines break after a comma outside of brackets where what follows it fits into a line of its own, else between
/// words, and within a word that is longer than a line.
pub(super) fn wrapped(text: &str, font: Font, limit: f64) -> Vec<String> {
    let fits = |line: &str| width(line, font) <= limit;
    let mut lines = Vec::new();
    let mut line = String::new();
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut open = 0;
    let clauses = words.split_inclusive(|word| {
        open += word.matches(['[', '(']).count() as i32;
        open -= word.matches([']', ')']).count() as i32;
        open <= 0 && word.ends_with(',')
    });
    for clause in clauses {
        let whole = clause.join(" ");
        if fits(&whole) && !line.is_empty() && !fits(&format!("{line} {whole}")) {
            lines.push(std::mem::take(&mut line));
        }
        for word in clause {
            if !line.is_empty() {
                let longer = format!("{line} {word}");
                if fits(&longer) {
                    line = longer;
                    continue;
                }
                lines.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                line.push(c);
                if !fits(&line) && line.chars().nth(1).is_some() {
                    line.pop();
                    lines.push(std::mem::take(&mut line));
                    line.push(c);
                }
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The same in as few lines, of about the same length.
pub(super) fn balanced(text: &str, font: Font, limit: f64) -> Vec<String> {
    let mut best = wrapped(text, font, limit);
    let mut shorter = limit;
    loop {
        shorter -= font.size;
        let lines = wrapped(text, font, shorter);
        if lines.len() > best.len() || shorter < limit / 2.0 {
            return best;
        }
        best = lines;
    }
}

/// The text, or its beginning if that is all that fits into `limit` pixels.
pub(super) fn clipped(text: &str, font: Font, limit: f64) -> String {
    if width(text, font) <= limit {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width(&format!("{kept}{c}…"), font) > limit {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FONT: Font = Font {
        size: 10.0,
        bold: false,
        colour: crate::chart::palette::INK,
    };

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_are_short_enough_and_hold_all_of_the_text(text in "([a-zA-Z]{1,30}| |, |[|]|字){0,40}") {
            let lines = wrapped(&text, FONT, 120.0);
            for line in &lines {
                prop_assert!(width(line, FONT) <= 120.0, "{}", line);
            }
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }

    #[test]
    fn lines_break_after_commas_then_between_words() {
        let lines = wrapped("does the supernet rank paths", FONT, 100.0);
        assert_eq!(lines, ["does the", "supernet rank", "paths"]);
        let lines = wrapped("tau-b 0.6 [0.4, 0.8], n = 30", FONT, 130.0);
        assert_eq!(lines, ["tau-b 0.6 [0.4, 0.8],", "n = 30"]);
        let lines = wrapped("r 0.6 [0.4, 0.8], rho 0.7 [0.5, 0.9]", FONT, 150.0);
        assert_eq!(lines, ["r 0.6 [0.4, 0.8],", "rho 0.7 [0.5, 0.9]"]);
        assert!(wrapped("", FONT, 100.0).is_empty());
    }

    #[test]
    fn no_word_stands_alone_if_its_line_can_have_more() {
        let text = "does the supernet rank paths as training alone does?";
        let lines = wrapped(text, FONT, 280.0);
        assert_eq!(lines.last().unwrap(), "does?");
        let lines = balanced(text, FONT, 280.0);
        assert_eq!(
            lines,
            ["does the supernet rank paths", "as training alone does?"]
        );
        assert_eq!(balanced("short", FONT, 280.0), ["short"]);
    }
}
