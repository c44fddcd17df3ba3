//! What a network costs, and how people write such numbers.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Deserializer, Serialize};

/// The cost of one image through a layer or a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cost {
    /// Multiply-accumulates of convolutions and linear layers. Adding a bias is none.
    pub macs: u64,
    /// Weights and biases, batch norm's included; running statistics are no parameters.
    pub params: u64,
    /// What `thop` counted for the Cream paper and calls FLOPs: `macs`, plus two for each output of a
    /// batch norm, plus every input and output of an average pool (squeeze-excite's included).
    pub flops_thop: u64,
    /// Nanoseconds by the space's [`LatencyTable`](crate::LatencyTable), for a batch of the table's size; 0
    /// without a table.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub latency_ns: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            macs: self.macs + other.macs,
            params: self.params + other.params,
            flops_thop: self.flops_thop + other.flops_thop,
            latency_ns: self.latency_ns + other.latency_ns,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), Add::add)
    }
}

/// Why a text is no count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// Not of the form that [`parse_count`] reads.
    #[error("`{0}` is no count: write it like `5M`, `300k`, `1.2G` or `5_000_000`")]
    Form(String),
    /// A fraction is left after the suffix is applied.
    #[error("`{0}` is not a whole number")]
    Fraction(String),
    /// Above `u64::MAX`.
    #[error("`{0}` is too large: the most is 18_446_744_073_709_551_615")]
    Large(String),
}

/// Reads a count of operations or parameters: `5M`, `300k`, `1.2G`, `5_000_000`, `13,188,608`.
///
/// The suffixes k, M, G (or B) and T, in either case, mean 10^3, 10^6, 10^9 and 10^12. Commas are read
/// as separators of thousands only where they stand as such, so that `1,5M` is not taken for 15M.
///
/// # Errors
/// [`CountError`] if the text has another form, is not a whole number, or does not fit a `u64`.
///
/// ```
/// use creamery_space::parse_count;
///
/// assert_eq!(parse_count("1.2G"), Ok(1_200_000_000));
/// assert!(parse_count("1,5M").is_err());
/// ```
pub fn parse_count(text: &str) -> Result<u64, CountError> {
    let trimmed = text.trim();
    let (number, exponent) = match trimmed.chars().last() {
        Some('k' | 'K') => (&trimmed[..trimmed.len() - 1], 3),
        Some('m' | 'M') => (&trimmed[..trimmed.len() - 1], 6),
        Some('g' | 'G' | 'b' | 'B') => (&trimmed[..trimmed.len() - 1], 9),
        Some('t' | 'T') => (&trimmed[..trimmed.len() - 1], 12),
        _ => (trimmed, 0),
    };
    scaled(number, exponent).map_err(|fault| match fault {
        NumberFault::Form => CountError::Form(shorten(text)),
        NumberFault::Fraction => CountError::Fraction(shorten(text)),
        NumberFault::Large => CountError::Large(shorten(text)),
    })
}

/// Why a text is no number of [`scaled`].
pub(crate) enum NumberFault {
    Form,
    Fraction,
    Large,
}

/// A decimal number times `10^exponent`, exactly.
pub(crate) fn scaled(number: &str, exponent: usize) -> Result<u64, NumberFault> {
    let number = number.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.contains(',') {
        let mut groups = whole.split(',');
        let first = groups.next().unwrap_or_default();
        let well_formed = exponent == 0
            && fraction.is_empty()
            && (1..=3).contains(&first.len())
            && groups.all(|group| group.len() == 3);
        if !well_formed {
            return Err(NumberFault::Form);
        }
        whole.replace(',', "")
    } else {
        whole.replace('_', "")
    };
    let fraction = fraction.replace('_', "");
    let fraction = fraction.trim_end_matches('0');
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(&whole) || !digits(fraction) || number.ends_with('.') {
        return Err(NumberFault::Form);
    }
    if fraction.len() > exponent {
        return Err(NumberFault::Fraction);
    }
    let zeros = "0".repeat(exponent - fraction.len());
    format!("{whole}{fraction}{zeros}")
        .parse()
        .map_err(|_| NumberFault::Large)
}

/// The start of a text that an error quotes: a hostile one may be megabytes long.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// Writes a count so that [`parse_count`] reads the same number back: `5M` and `1.25G` where that is
/// exact with at most two decimals, `13,188,608` elsewhere.
pub fn format_count(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    in_units(count, &UNITS).unwrap_or_else(|| grouped(count))
}

/// The count in the largest unit that it reaches, if at most two decimals and less than 1000 of it say it exactly.
pub(crate) fn in_units(count: u64, units: &[(u64, &str)]) -> Option<String> {
    units.iter().find_map(|&(unit, suffix)| {
        if count < unit || count / unit >= 1000 || !count.is_multiple_of(unit / 100) {
            return None;
        }
        let hundredths = count % unit / (unit / 100);
        Some(match (hundredths, hundredths % 10) {
            (0, _) => format!("{}{suffix}", count / unit),
            (_, 0) => format!("{}.{}{suffix}", count / unit, hundredths / 10),
            _ => format!("{}.{hundredths:02}{suffix}", count / unit),
        })
    })
}

/// All digits, in groups of three: `13,188,608`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// For `#[serde(default, deserialize_with = "creamery_space::deserialize_count")]`: a count that a file
/// may give as a number or as text (`max_macs = "5M"`).
///
/// # Errors
/// The deserializer's, for a negative number or a text that [`parse_count`] refuses.
pub fn deserialize_count<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a count: a number, or text like \"5M\""
    )]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Option::<Written>::deserialize(source)? {
        None => Ok(None),
        Some(Written::Number(count)) => Ok(Some(count)),
        Some(Written::Text(text)) => parse_count(&text)
            .map(Some)
            .map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_of_writing_a_count() {
        for (text, count) in [
            ("0", 0),
            ("7", 7),
            ("5M", 5_000_000),
            (" 5 M ", 5_000_000),
            ("300k", 300_000),
            ("1.2G", 1_200_000_000),
            ("1.25b", 1_250_000_000),
            ("2T", 2_000_000_000_000),
            ("5_000_000", 5_000_000),
            ("13,188,608", 13_188_608),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
    }

    #[test]
    fn what_is_no_count() {
        for text in [
            "", "M", "-5", "+5", "5MM", "five", "1,5M", "1,500M", "1,50", ",500", "0x10", "1e6",
            "NaN", "5.", ".5M", "5.M", "1.2.3M", "5µ", "５M", "_", "1,,000",
        ] {
            assert_eq!(parse_count(text), Err(CountError::Form(text.into())));
        }
        assert!(matches!(
            parse_count("18446744073709551616"),
            Err(CountError::Large(_))
        ));
        for text in ["1.2345k", "1.5", "0.0000001M"] {
            assert_eq!(parse_count(text), Err(CountError::Fraction(text.into())));
        }
        let long = parse_count(&"9".repeat(1_000_000)).unwrap_err();
        assert!(long.to_string().len() < 150);
    }

    #[test]
    fn counts_are_short_where_that_is_exact() {
        for (count, text) in [
            (999, "999"),
            (1_000, "1k"),
            (1_250_000, "1.25M"),
            (1_050_000_000, "1.05G"),
            (1_500_000, "1.5M"),
            (99_832_960, "99,832,960"),
            (13_188_608, "13,188,608"),
        ] {
            assert_eq!(format_count(count), text);
        }
    }

    proptest! {
        #[test]
        fn written_counts_read_back(count: u64, zeros in 0u32..15) {
            for count in [count, (count % 10_000) * 10u64.pow(zeros)] {
                prop_assert_eq!(parse_count(&format_count(count)), Ok(count));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_count(&text);
        }
    }
}
