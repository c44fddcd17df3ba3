//! How people write latencies.

use serde::{Deserialize, Deserializer, Serializer};

use crate::cost::{NumberFault, grouped, in_units, scaled, shorten};

/// Why a text is no latency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LatencyError {
    /// Not of the form that [`parse_latency`] reads.
    #[error("`{0}` is no latency: write it with its unit, like `3ms`, `250us` or `1.5ms`")]
    Form(String),
    /// A part of a nanosecond.
    #[error("`{0}` is not a whole number of nanoseconds")]
    Fraction(String),
    /// Above `u64::MAX` nanoseconds.
    #[error("`{0}` is too large: the most is 18_446_744_073_709_551_615ns")]
    Large(String),
}

/// Reads a latency as nanoseconds: `3ms`, `250us`, `1.5ms`, `2s`, `1,234,567ns`.
///
/// There must be a unit: s, ms, us (or µs) or ns.
///
/// # Errors
/// [`LatencyError`] if the text has another form, is not a whole number of nanoseconds, or does not fit a `u64`.
///
/// ```
/// use creamery_space::parse_latency;
///
/// assert_eq!(parse_latency("1.5ms"), Ok(1_500_000));
/// assert!(parse_latency("3").is_err());
/// ```
pub fn parse_latency(text: &str) -> Result<u64, LatencyError> {
    // `s` is the end of the others. The micro sign and the Greek letter look the same.
    const UNITS: [(&str, usize); 6] = [
        ("ns", 0),
        ("us", 3),
        ("\u{b5}s", 3),
        ("\u{3bc}s", 3),
        ("ms", 6),
        ("s", 9),
    ];
    let trimmed = text.trim();
    let (number, exponent) = UNITS
        .iter()
        .find_map(|(unit, exponent)| Some((trimmed.strip_suffix(unit)?, *exponent)))
        .ok_or_else(|| LatencyError::Form(shorten(text)))?;
    scaled(number, exponent).map_err(|fault| match fault {
        NumberFault::Form => LatencyError::Form(shorten(text)),
        NumberFault::Fraction => LatencyError::Fraction(shorten(text)),
        NumberFault::Large => LatencyError::Large(shorten(text)),
    })
}

/// Writes nanoseconds so that [`parse_latency`] reads the same number back: `3ms` and `1.25us` where that is exact
/// with at most two decimals, `1,234,567ns` elsewhere.
pub fn format_latency(nanoseconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    in_units(nanoseconds, &UNITS).unwrap_or_else(|| format!("{}ns", grouped(nanoseconds)))
}

/// For `#[serde(default, deserialize_with = "creamery_space::deserialize_latency")]`: nanoseconds from text with
/// a unit (`max_latency = "3ms"`).
///
/// # Errors
/// The deserializer's, for anything that [`parse_latency`] refuses.
pub fn deserialize_latency<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a latency with its unit, like \"3ms\"")]
    enum Written {
        Text(String),
    }
    match Option::<Written>::deserialize(source)? {
        None => Ok(None),
        Some(Written::Text(text)) => parse_latency(&text)
            .map(Some)
            .map_err(serde::de::Error::custom),
    }
}

/// For `#[serde(serialize_with = "creamery_space::serialize_latency")]`: the text of [`format_latency`].
///
/// # Errors
/// The serializer's.
pub fn serialize_latency<S: Serializer>(
    nanoseconds: &Option<u64>,
    target: S,
) -> Result<S::Ok, S::Error> {
    match nanoseconds {
        Some(nanoseconds) => target.serialize_some(&format_latency(*nanoseconds)),
        None => target.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_of_writing_a_latency() {
        for (text, nanoseconds) in [
            ("3ms", 3_000_000),
            (" 250 us ", 250_000),
            ("250µs", 250_000),
            ("250μs", 250_000),
            ("1.5ms", 1_500_000),
            ("0.75s", 750_000_000),
            ("2s", 2_000_000_000),
            ("7ns", 7),
            ("1,234,567ns", 1_234_567),
            ("1_000us", 1_000_000),
        ] {
            assert_eq!(parse_latency(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_latency() {
        for text in [
            "", "3", "ms", "-3ms", "+3ms", "3 m", "3MS", "3min", "1,5ms", "1e3us", "NaNms", ".5ms",
            "5.ms",
        ] {
            assert_eq!(parse_latency(text), Err(LatencyError::Form(text.into())));
        }
        assert_eq!(
            parse_latency("0.5ns"),
            Err(LatencyError::Fraction("0.5ns".into()))
        );
        assert!(matches!(
            parse_latency("18446744074s"),
            Err(LatencyError::Large(_))
        ));
    }

    #[test]
    fn latencies_are_short_where_that_is_exact() {
        for (nanoseconds, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1us"),
            (1_250, "1.25us"),
            (1_500_000, "1.5ms"),
            (2_000_000_000, "2s"),
            (1_234_567, "1,234,567ns"),
        ] {
            assert_eq!(format_latency(nanoseconds), text);
        }
    }

    proptest! {
        #[test]
        fn written_latencies_read_back(nanoseconds: u64, zeros in 0u32..15) {
            for nanoseconds in [nanoseconds, (nanoseconds % 10_000) * 10u64.pow(zeros)] {
                prop_assert_eq!(parse_latency(&format_latency(nanoseconds)), Ok(nanoseconds));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_latency(&text);
        }
    }
}
