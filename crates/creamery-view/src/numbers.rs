//! Numbers as people read them at a glance.

use std::time::Duration;

use creamery_space::{format_count, format_latency};

/// A count to three or four digits: `5.21M` of 5,213,444, and `1,234` of 1,234.
///
/// ```
/// assert_eq!(creamery_view::rounded_count(578_698_368), "578.7M");
/// assert_eq!(creamery_view::rounded_count(9_999), "9,999");
/// ```
pub fn rounded_count(count: u64) -> String {
    if count < 10_000 {
        return format_count(count);
    }
    format_count(rounded(count))
}

/// Nanoseconds to three or four digits: `2.87ms` of 2,871,234.
///
/// ```
/// assert_eq!(creamery_view::rounded_latency(2_871_234), "2.87ms");
/// assert_eq!(creamery_view::rounded_latency(987), "987ns");
/// ```
pub fn rounded_latency(nanoseconds: u64) -> String {
    format_latency(rounded(nanoseconds))
}

/// The nearest number of three or four digits and zeros.
fn rounded(count: u64) -> u64 {
    let digits = count.checked_ilog10().map_or(1, |digits| digits + 1);
    let step = 10u64.pow(digits.saturating_sub(if digits.is_multiple_of(3) { 4 } else { 3 }));
    // Near the largest number rounding up would overflow.
    count.saturating_add(step / 2) / step * step
}

/// A duration in its two largest units: `36s`, `2m03s`, `5h07m`, `3d04h`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(creamery_view::duration(Duration::from_secs(123)), "2m03s");
/// ```
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if minutes == 0 {
        format!("{seconds}s")
    } else if hours == 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else if days == 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else {
        format!("{days}d{:02}h", hours % 24)
    }
}

#[cfg(test)]
mod tests {
    use creamery_space::parse_count;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_stays_within_half_a_percent_and_is_short(count: u64) {
            // Any magnitude, not only the largest.
            for count in (0..64).map(|shift| count >> shift) {
                let text = rounded_count(count);
                let back = parse_count(&text.replace(',', "_")).unwrap();
                prop_assert!(back.abs_diff(count) as f64 <= 0.005 * count as f64, "{} of {}", text, count);
                prop_assert!(back >= 1_000_000_000_000_000 || text.len() <= 6, "{} of {}", text, count);
            }
        }

        #[test]
        fn longer_is_never_written_as_shorter(seconds in 0u64..1_000_000) {
            let text = duration(Duration::from_secs(seconds));
            let mut back = 0;
            for part in text.split_inclusive(|c: char| c.is_alphabetic()) {
                let (number, unit) = part.split_at(part.len() - 1);
                let unit = match unit { "s" => 1, "m" => 60, "h" => 3600, _ => 86_400 };
                back += number.parse::<u64>().unwrap() * unit;
            }
            prop_assert!(back <= seconds);
            let least = if seconds < 3600 { 1 } else if seconds < 86_400 { 60 } else { 3600 };
            prop_assert!(seconds - back < least, "{}", text);
        }
    }

    #[test]
    fn edges() {
        assert_eq!(rounded_count(0), "0");
        assert_eq!(rounded_count(9_999_999), "10M");
        assert_eq!(rounded_count(999_499), "999.5k");
        rounded_count(u64::MAX);
        assert_eq!(duration(Duration::ZERO), "0s");
        assert_eq!(duration(Duration::from_secs(3600)), "1h00m");
    }
}
