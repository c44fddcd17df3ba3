//! From numbers to places on an axis, and the numbers that stand along it.

use std::ops::RangeInclusive;

/// Room beyond the outermost values, as a share of their distance.
const MARGIN: f64 = 0.06;

/// The least factor between the ends of a logarithmic axis.
const LOGARITHMIC: f64 = 8.0;

/// Distances below this share of the values are not shown: their ticks could not be told apart.
const FINEST: f64 = 1e-9;

/// An axis from `low` to `high`, with ticks at the multiples of `step`.
///
/// On a logarithmic axis all three are powers of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    step: f64,
    log: bool,
}

impl Scale {
    /// The axis that holds all `values`, finite ones of which there must be one, with at most `ticks` ticks.
    /// Logarithmic if asked for, all values are positive and the range is wide enough to show it; without room beyond the outermost values if `tight`.
    pub(super) fn of(
        values: impl Iterator<Item = f64> + Clone,
        ticks: usize,
        log: bool,
        tight: bool,
    ) -> Self {
        let margin = if tight { 0.0 } else { MARGIN };
        let (least, most) = range(values.clone());
        if log && least > 0.0 && most / least >= LOGARITHMIC {
            let linear = Self::over(values.map(f64::log10), ticks, margin);
            let step = ((linear.high - linear.low) / ticks as f64).ceil().max(1.0);
            return Self {
                step,
                log,
                ..linear
            };
        }
        Self::over(values, ticks, margin)
    }

    /// The same, with a share of the distance as the room.
    fn over(values: impl Iterator<Item = f64>, ticks: usize, margin: f64) -> Self {
        let (least, most) = range(values);
        let size = least.abs().max(most.abs());
        let (low, high) = if most - least > (FINEST * size).max(f64::MIN_POSITIVE / FINEST) {
            let margin = margin * (most - least);
            // What cannot be negative gets no negative numbers.
            let floor = if least >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
            ((least - margin).max(floor), most + margin)
        } else {
            let middle = least / 2.0 + most / 2.0;
            let half = if size > f64::MIN_POSITIVE / FINEST {
                size / 20.0
            } else {
                1.0
            };
            (middle - half, middle + half)
        };
        let step = nice_step((high - low) / ticks as f64);
        let scale = Self {
            low,
            high,
            step,
            log: false,
        };
        if !scale.multiples().is_empty() {
            return scale;
        }
        // An axis for two ticks may lie between two multiples; the next finer step has some, and no more than one too many.
        Self {
            step: nice_step(step / 2.5),
            ..scale
        }
    }

    /// Where a value lies between the axis's ends, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// The ticks with what is written at them, ascending.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if self.log {
            return self.log_ticks();
        }
        self.multiples()
            .map(|multiple| {
                let value = multiple as f64 * self.step;
                (value, self.write(value, self.step))
            })
            .collect()
    }

    /// A value of the axis, two digits finer than its ticks.
    pub(super) fn number(&self, value: f64) -> String {
        if self.log {
            return significant(value, 3);
        }
        let finest = written(1, magnitude(self.step) - 2);
        let text = self.write(value, finest);
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let suffix = &text[digits.len()..];
        if !digits.contains('.') || digits.contains('e') {
            return text;
        }
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        format!("{digits}{suffix}")
    }

    /// The powers of ten; on a short axis their double and fivefold, too.
    fn log_ticks(&self) -> Vec<(f64, String)> {
        let digits: &[u8] = match self.high - self.low {
            ..=2.2 => &[1, 2, 5],
            _ => &[1],
        };
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        decades
            .step_by(self.step as usize)
            .flat_map(|power| digits.iter().map(move |digit| written(*digit, power)))
            .filter(|tick| (0.0..=1.0).contains(&self.place(*tick)))
            .map(|tick| (tick, significant(tick, 1)))
            .collect()
    }

    fn multiples(&self) -> RangeInclusive<i64> {
        (self.low / self.step).ceil() as i64..=(self.high / self.step).floor() as i64
    }

    /// A value in steps of `step`, in the unit that suits the whole axis: `0.25`, `1.5M`, `2e-7`.
    fn write(&self, value: f64, step: f64) -> String {
        let steps = (value / step).round();
        if steps == 0.0 {
            return "0".to_owned();
        }
        let value = steps * step;
        let size = self.low.abs().max(self.high.abs());
        if !(1e-3..1e15).contains(&size) {
            let decimals = (magnitude(value) - magnitude(step)).max(0) as usize;
            return format!("{value:.decimals$e}");
        }
        let (unit, suffix) = match size {
            1e12.. => (1e12, "T"),
            1e9.. => (1e9, "G"),
            1e6.. => (1e6, "M"),
            1e4.. => (1e3, "k"),
            _ => (1.0, ""),
        };
        let decimals = (-magnitude(step / unit)).max(0) as usize;
        format!("{:.decimals$}{suffix}", value / unit)
    }
}

/// The least and the most of the values.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    })
}

/// A number to so many digits, as short as people write it: `0.05`, `3.04M`, `1e-7`.
fn significant(value: f64, digits: usize) -> String {
    let rounded = format!("{value:.*e}", digits - 1);
    let value: f64 = rounded.parse().expect("a number that was written");
    let (scaled, suffix) = match value.abs() {
        1e15.. => return format!("{value:e}"),
        1e12.. => (value / 1e12, "T"),
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        1e-3.. => (value, ""),
        _ if value == 0.0 => return "0".to_owned(),
        _ => return format!("{value:e}"),
    };
    let decimals = (digits as i32 - 1 - magnitude(scaled)).max(0) as usize;
    let text = format!("{scaled:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{suffix}")
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = magnitude(least);
    let mut steps = [1, 2, 5].map(|digit| written(digit, power)).into_iter();
    let step = steps.find(|step| *step >= least);
    step.unwrap_or_else(|| written(1, power + 1))
}

/// A digit times a power of ten. Read rather than multiplied, so that a tenth is 0.1 itself.
fn written(digit: u8, power: i32) -> f64 {
    let number = format!("{digit}e{power}").parse();
    number.expect("a number of one digit")
}

/// The power of ten that a positive or negative number begins with: 2 of 345, -1 of 0.1.
fn magnitude(value: f64) -> i32 {
    // The logarithm of a tenth's double may lie on either side; its shortest digits do not.
    let text = format!("{value:e}");
    let power = text.rsplit('e').next().and_then(|power| power.parse().ok());
    power.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        let ticks = Scale::of(values.iter().copied(), 6, false, false).ticks();
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_a_unit_that_fits() {
        assert_eq!(labels(&[39.5, 47.0]), ["40", "42", "44", "46"]);
        assert_eq!(
            labels(&[0.0, 1.0]),
            ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(&[-0.3, 0.3]), ["-0.2", "0", "0.2"]);
        assert_eq!(labels(&[1.2e6, 5.3e6]), ["1M", "2M", "3M", "4M", "5M"]);
        assert_eq!(
            labels(&[12_000.0, 12_900.0]),
            ["12.0k", "12.2k", "12.4k", "12.6k", "12.8k"]
        );
        assert_eq!(labels(&[0.0, 3e-7]), ["0", "1e-7", "2e-7", "3e-7"]);
        assert_eq!(
            labels(&[1e20, 1.5e20]),
            ["1.0e20", "1.1e20", "1.2e20", "1.3e20", "1.4e20", "1.5e20"]
        );
    }

    #[test]
    fn numbers_are_finer_than_ticks_and_no_longer_than_they_need() {
        let percent = Scale::of([39.5, 47.0].into_iter(), 6, false, false);
        assert_eq!(percent.number(45.4875), "45.49");
        assert_eq!(percent.number(40.0), "40");
        let macs = Scale::of([1.2e6, 5.3e6].into_iter(), 6, false, false);
        assert_eq!(macs.number(3_043_248.0), "3.04M");
        assert_eq!(macs.number(0.0), "0");
    }

    #[test]
    fn equal_values_stand_in_the_middle() {
        for value in [50.0, -3.0, 0.0, 1e300, -1e300, 1e-300, 5e-324] {
            let scale = Scale::of([value; 3].into_iter(), 6, false, false);
            assert!((scale.place(value) - 0.5).abs() < 1e-9, "{value}");
            assert!(scale.ticks().len() >= 2, "{value}: {:?}", scale.ticks());
        }
    }

    #[test]
    fn equal_factors_are_equal_distances_on_a_logarithmic_axis() {
        let scale = Scale::of([0.001, 1.0].into_iter(), 6, true, true);
        assert!((scale.place(0.1) - scale.place(0.01) - 1.0 / 3.0).abs() < 1e-9);
        let labels: Vec<String> = scale.ticks().into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["0.001", "0.01", "0.1", "1"]);
        let short = Scale::of([2.1e6, 2.3e7].into_iter(), 6, true, true);
        let labels: Vec<String> = short.ticks().into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["5M", "10M", "20M"]);
        assert_eq!(short.number(3_043_248.0), "3.04M");
        // What has no logarithm has a linear axis, and so has what lies close together.
        for values in [[0.0, 1.0], [1.0, 2.0]] {
            assert!(!Scale::of(values.into_iter(), 6, true, true).log);
        }
    }

    #[test]
    fn an_axis_between_two_multiples_has_ticks() {
        let scale = Scale::of([-0.4212269491019532].into_iter(), 2, false, false);
        let labels: Vec<String> = scale.ticks().into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["-0.44", "-0.42"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn all_values_have_a_place_and_there_are_ticks(
            values in prop::collection::vec((-1.0f64..1.0, -300i32..300), 1..6),
            ticks in 2usize..8,
        ) {
            let values: Vec<f64> = values.into_iter().map(|(v, power)| v * 10f64.powi(power)).collect();
            let scale = Scale::of(values.iter().copied(), ticks, false, false);
            for value in &values {
                prop_assert!((0.0..=1.0).contains(&scale.place(*value)), "{} on {:?}", value, scale);
            }
            let found = scale.ticks();
            prop_assert!((1..=ticks + 1).contains(&found.len()), "{:?}", found);
            for (value, label) in &found {
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&scale.place(*value)));
                // A label says its tick, to a thousandth of the distance to the next.
                let (digits, unit) = match label.strip_suffix(['k', 'M', 'G', 'T']) {
                    Some(digits) => (digits, [1e3, 1e6, 1e9, 1e12]["kMGT".find(&label[digits.len()..]).unwrap()]),
                    None => (&label[..], 1.0),
                };
                let said = digits.parse::<f64>().unwrap() * unit;
                prop_assert!((said - value).abs() <= 1e-3 * scale.step, "{} for {}", label, value);
            }
            let distinct: std::collections::BTreeSet<_> = found.iter().map(|(_, label)| label).collect();
            prop_assert_eq!(distinct.len(), found.len());
        }
    }
}
